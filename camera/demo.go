package camera

import (
	"context"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

// What demo:// shows where its URI does not say.
const (
	demoWidth, demoHeight = 1280, 720
	demoFPS               = 15
	demoSeed              = 1
)

// drawn is the camera that needs no camera. It never ends.
type drawn struct {
	scene *demo.Scene
	n     uint64
}

func openDemo(u *URI) (source, Info, error) {
	width, height := demoWidth, demoHeight
	if u.Width > 0 {
		width, height = u.Width, u.Height
	}
	scene := demo.NewScene(u.Seed, width, height)
	scene.Strangers = u.Strangers
	return &drawn{scene: scene}, Info{Kind: "demo", Backend: "demo", FPS: demoFPS}, nil
}

func (d *drawn) next(_ context.Context, f *vision.Frame) error {
	d.scene.Render(d.n, f)
	d.n++
	return nil
}

func (d *drawn) close() error { return nil }
