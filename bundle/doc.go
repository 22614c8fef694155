// Package bundle is one model as a folder: a manifest, model.yaml, that says how the network wants
// its pictures and what its answers mean, and the files that the manifest names with their digests.
// It opens, checks, writes and packs them. The digest of a bundle is the SHA-256 of its manifest,
// which names every file with its own.
package bundle
