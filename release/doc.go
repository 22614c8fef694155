// Package release carries bundles to devices: signed, cut into pieces that many bundles share, and
// fetched piece by piece.
//
//	bundle ──Sign──▶ statement ──Push──▶ registry, folder or tar ──Pull──▶ store
//
// A release is an OCI image: model.yaml, and of each file of the bundle the pieces that it is put
// together from, each under its SHA-256. The statement names the image's manifest and the bundle,
// and is signed with minisign. A device takes what a key of its trust folder signed, nothing that is
// older than what it has seen, and fetches only pieces that it has not got.
package release
