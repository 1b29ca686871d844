package record

import (
	"fmt"
	"testing"
	"time"
)

func TestEveryLeafIsProvedAndNoOther(t *testing.T) {
	for n := 1; n <= 33; n++ {
		leaves := make([]Hash, n)
		for i := range leaves {
			leaves[i] = LeafHash(fmt.Append(nil, i))
		}
		root := Root(leaves)
		var s Stack
		for _, l := range leaves {
			s.Add(l)
		}
		if s.Root() != root {
			t.Fatalf("leaf by leaf the root of %d is another", n)
		}
		for i := range leaves {
			path := Path(leaves, i)
			if err := VerifyPath(root, n, i, leaves[i], path); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			if VerifyPath(root, n, i, LeafHash([]byte("other")), path) == nil {
				t.Fatalf("a foreign leaf passed as %d of %d", i, n)
			}
			if n > 1 && VerifyPath(root, n, (i+1)%n, leaves[i], path) == nil {
				t.Fatalf("leaf %d passed at another place of %d", i, n)
			}
		}
	}
}

func TestVersionHashSeesEditRecallAndAttachment(t *testing.T) {
	r := Record{Ref: Ref{Chat, "c", "m"}, Time: time.UnixMilli(1), Raw: []byte(`{"a":1}`)}
	seen := map[Hash]string{r.Hash(): "plain"}
	for name, change := range map[string]func(*Record){
		"edit":       func(r *Record) { r.Raw = []byte(`{"a":2}`) },
		"recall":     func(r *Record) { r.Deleted = true },
		"attachment": func(r *Record) { r.Blobs = []Blob{{SHA256: HashOf([]byte("x"))}} },
	} {
		v := r
		change(&v)
		if was, ok := seen[v.Hash()]; ok {
			t.Errorf("%s has the hash of %s", name, was)
		}
		seen[v.Hash()] = name
	}
}
