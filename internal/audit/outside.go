package audit

import "embed"

// Outside is the program with which an outsider checks our proofs, as text: it
// shares no line with this package. It goes into every package for a regulator,
// and the tests run it.
//
// Against the C2SP texts: checkpoints are tlog-checkpoint, paths those of
// tlog-proof, in JSON with salt and entry instead of lines with an opaque
// "extra". Entries stand in one file with a length before each and hashes in
// one flat file, not in the tiles of tlog-tiles, because nobody fetches them
// over HTTP. The node signs as a second log key would (Ed25519 over the note),
// not with the timestamped cosignature of tlog-cosignature.
//
//go:embed outside/main.go outside/go.mod.txt outside/go.sum.txt outside/README.zh-Hant.md outside/README.pt.md outside/README.en.md
var Outside embed.FS
