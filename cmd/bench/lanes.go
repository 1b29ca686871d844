package main

import (
	"fmt"
	"math/rand/v2"

	"farol/internal/archive"
	"farol/internal/record"
)

// batch makes n new messages spread over 200 conversations.
func batch(t *text, rng *rand.Rand, from, n int) archive.Batch {
	b := archive.Batch{Records: make([]record.Record, n)}
	for i := range n {
		c := fmt.Sprintf("cid%04x", rng.IntN(200))
		b.Records[i] = messageRecord(c, from+i, t.message(nil, c, uint64(from+i), rng))
	}
	return b
}

func rawBytes(b archive.Batch) (n int64) {
	for i := range b.Records {
		n += int64(len(b.Records[i].Raw))
	}
	return n
}
