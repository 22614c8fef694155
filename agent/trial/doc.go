// Package trial judges a new model beside the one before it.
//
//	what both answer to the same pictures ──Comparison──▶ proven worse, or not
//
// Only what is proven worse is refused: each share is judged by its interval, not by its value.
package trial
