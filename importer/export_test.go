package importer

// EndlessAfter is endlessAfter, for tests that do not wait so long.
var EndlessAfter = &endlessAfter
