package bundle

import "testing"

// A manifest with a mistake is not written, and the old one stays.
func TestWriteSpecRefuses(t *testing.T) {
	dir := testBundle(t)
	s := testSpec()
	s.Labels = s.Labels[:2]
	err := WriteSpec(dir, s)
	if want := "bundle: manifest: labels: 2 labels, but architecture.classes is 3"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
	if _, err := Open(dir); err != nil {
		t.Errorf("the old bundle is damaged: %v", err)
	}
}
