// Package teach corrects the last layer of a classifier, or gives it new classes, with labelled
// pictures:
//
//	bundle, pictures ──backbone──▶ features ──fit──▶ head ──▶ bundle, report
//
// The layers below stay as they are, and with them every INT8 range and every engine: what they
// answer a picture with, its features, is linearly separable for new classes, too. A head is fitted
// to it by multinomial logistic regression, or, from a few pictures, by class means.
package teach
