package backup

import "testing"

func TestFewCoresReadFewContainersAtOnce(t *testing.T) {
	for cores, want := range map[int]int{1: 2, 2: 4, 4: 8, 64: 16} {
		if got := lanesFor(cores); got != want {
			t.Errorf("%d cores: %d lanes, want %d", cores, got, want)
		}
	}
}
