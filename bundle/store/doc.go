// Package store keeps the bundles that are installed on a device, each under its digest, and says
// which of them the agent runs.
//
//	bundle.vggse ──Install──▶ <state_dir>/models/<digest>/ ──Activate──▶ the running agent
//
// The digest of a bundle is the SHA-256 of its manifest, which names every file with its own: one
// number pins every byte, and 'sha256sum model.yaml' shows it.
package store
