package page

import (
	"sync"

	"github.com/gorilla/websocket"

	"github.com/vggse/vggse-agent/live"
)

// prepared holds the newest message of each picture that is looked at: made once, whoever gets it.
type prepared struct {
	mu  sync.Mutex // guards what follows
	all map[view]made
}

// view is what a viewer can ask pictures of.
type view struct {
	camera  int
	network bool
}

type made struct {
	picture *live.Picture
	message *websocket.PreparedMessage
}

// of is the message of a picture.
func (p *prepared) of(camera int, network bool, picture *live.Picture) (*websocket.PreparedMessage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := view{camera, network}
	if m := p.all[key]; m.picture == picture {
		return m.message, nil
	}
	m, err := websocket.NewPreparedMessage(websocket.BinaryMessage, pictureMessage(camera, network, picture))
	if err != nil {
		return nil, err
	}
	if p.all == nil {
		p.all = make(map[view]made)
	}
	p.all[key] = made{picture, m}
	return m, nil
}

// clear forgets all, for nobody looks.
func (p *prepared) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.all)
}
