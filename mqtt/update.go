package mqtt

// Update is what the service does about releases. The place that it pulls from is never in it.
type Update struct {
	State   string `json:"state"`   // one of the constants below
	Name    string `json:"name"`    // of the release; empty: none was looked at yet
	Release int64  `json:"release"` // its number; 0: none
	Bytes   int64  `json:"bytes"`   // fetched
	Of      int64  `json:"of"`      // that are to be fetched
	Reason  string `json:"reason"`  // of waiting or failed, for people; else empty
}

// Values of Update.State.
const (
	UpdateIdle     = "idle"
	UpdateWaiting  = "waiting" // for the place of the release, which is away
	UpdatePulling  = "pulling"
	UpdateChecking = "checking"
	UpdateFailed   = "failed"
)

// update is the payload of the update topic.
func (id *Identity) update(u Update) []byte {
	return encode(struct {
		Schema string `json:"schema"`
		Device string `json:"device"`
		Update
	}{"vggse.update/1", id.Device, u})
}
