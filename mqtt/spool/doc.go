// Package spool keeps records that wait for a broker over outages, restarts and power cuts.
//
// Appending copies into memory and never waits. Flush, called by whoever owns the goroutine, writes
// what was not acknowledged in time; what was acknowledged in time is never written. On disk there
// is, for each Class, a log of segments of one size, made once and used again, so that a sync has
// only data to write:
//
//	stream              who numbers the records, and which numbers are reserved; always synced
//	cursor              what was acknowledged; lazily synced, its loss costs repetitions only
//	sync-<n>.seg        records of class Sync
//	async-<n>.seg       records of class Async
//	free-<n>.seg        a segment that waits to be used again
//	bad/                copies of damaged segments
//
// A record begins with length, sequence number, flags and a CRC-32C that also covers the n of the
// file's name: what an earlier use of the file has left behind is no record. Recovery reads
// everything, steps over damage to the next record that holds, and tells which numbers are missing.
//
// No error of the disk reaches the caller of Append: the spool goes on in memory, says so in State,
// and tries the disk again.
package spool
