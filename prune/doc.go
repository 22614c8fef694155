// Package prune takes channels out of a VGG16-SE, exactly: what is left is a smaller network of the
// same kind, with irregular widths and no masks.
//
//	VGG, pictures ──Analyse, Measure──▶ Analysis ──Plan──▶ widths ──Apply──▶ smaller VGG
//
// Which channels go follows from what they carry and what their reader makes of it: Optimal Brain
// Surgeon (Hassibi and Stork, 1993) on second moments of the activations. What the removed ones
// carried is then fitted into the readers' weights by least squares, layer by layer, against the
// answers of the network that was (He et al., arXiv 1707.06168). How many go from where is a matter
// of the time that this saves, which is measured (as by Yang et al., NetAdapt, arXiv 1804.03230).
package prune
