package dataset

// Finding is something about the pictures or the manifest that does not look right.
type Finding struct {
	Check    string `json:"check"`
	Severity string `json:"severity"` // warn or refuse
	Evidence string `json:"evidence"`
	Cure     string `json:"cure"`
}
