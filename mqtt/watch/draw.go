package watch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/vision"
)

const (
	trailMax = 32 // results in the coloured trail
	barMax   = 30
	barMin   = 8
	flash    = 1500 * time.Millisecond // so long a new label stands out
)

// Style colours text, or does not.
type Style struct{ Colour bool }

// Colours (ECMA-48 SGR), and a palette of the 256 in which neighbours differ and all read on dark
// and light.
const (
	bold   = "1"
	dim    = "2"
	green  = "32"
	yellow = "33"
	red    = "31"
	invert = "7"
)

var palette = []string{
	"38;5;39", "38;5;208", "38;5;71", "38;5;170", "38;5;178", "38;5;44", "38;5;203", "38;5;105", "38;5;149",
	"38;5;216", "38;5;67", "38;5;133",
}

func (s Style) paint(sgr, text string) string {
	if !s.Colour || sgr == "" || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// colour of a label: the next free one of the palette when it is first seen, then always that.
func (b *Board) colour(label string) string {
	if label == "" || label == vision.Unknown {
		return dim
	}
	c, ok := b.colours[label]
	if !ok {
		c = palette[len(b.colours)%len(palette)]
		b.colours[label] = c
	}
	return c
}

// Draw makes the lines of the table, at most height of them, none wider than width.
func (b *Board) Draw(s Style, width, height int, now time.Time) []string {
	b.count(now)
	lines := []string{b.headline(s, width), ""}
	c := b.columns(width)
	lines = append(lines, s.paint(dim, fit(c.heading(), width)))
	for _, id := range slices.Sorted(maps.Keys(b.devices)) {
		d := b.devices[id]
		lines = append(lines, d.headline(s, width))
		for _, name := range slices.Sorted(maps.Keys(d.cameras)) {
			lines = append(lines, b.row(s, c, d.cameras[name], now))
		}
	}
	if hint := b.Hint(now); hint != "" {
		lines = append(lines, s.paint(yellow, fit("  "+hint, width)))
	} else if len(b.devices) == 0 {
		lines = append(lines, s.paint(dim, fit("  nothing below "+b.prefix+"/ yet", width)))
	}
	if room := height - len(lines) - 2; room > 0 && len(b.events) > 0 {
		lines = append(lines, "")
		for _, e := range b.events[max(0, len(b.events)-min(room, 8)):] {
			lines = append(lines, b.eventLine(s, e, width))
		}
	}
	if len(lines) > height {
		hidden := len(lines) - height + 1
		lines = append(lines[:max(0, height-1)],
			s.paint(dim, fit(fmt.Sprintf("  … %d more lines: make the terminal taller", hidden), width)))
	}
	return lines
}

// count measures the rate of messages over about a second.
func (b *Board) count(now time.Time) {
	if since := now.Sub(b.second); b.second.IsZero() || since >= time.Second {
		if !b.second.IsZero() {
			b.rate = float64(b.messages) / since.Seconds()
		}
		b.second, b.messages = now, 0
	}
}

func (b *Board) headline(s Style, width int) string {
	dot, state := s.paint(green, "●"), "connected"
	if !b.connected {
		dot, state = s.paint(yellow, "○"), b.trouble
		if b.trouble != "connecting" {
			state = "not connected, trying again: " + b.trouble
		}
	}
	text := fit(fmt.Sprintf("%s/#  %s", b.prefix, b.broker), max(0, width-4))
	right := fmt.Sprintf("   %s   %s   %.1f messages/s", count(len(b.devices), "device"), count(b.cameras, "camera"),
		b.rate)
	room := width - 2 - uniseg.StringWidth(text) - 3
	if uniseg.StringWidth(state+right) > room {
		right = ""
	}
	return dot + " " + s.paint(bold, text) + "   " + fit(state, max(0, room)) + s.paint(dim, right)
}

func (d *deviceRow) headline(s Style, width int) string {
	mark, colour := "○", dim
	switch d.availability {
	case mqtt.Online:
		mark, colour = "●", green
	case mqtt.Stopped:
		mark, colour = "◌", yellow
	case mqtt.Offline:
		colour = red
	}
	text := d.id
	if d.name != "" && d.name != d.id {
		text += "  " + d.name
	}
	text = fit(text, max(0, width-12))
	used := 2 + uniseg.StringWidth(text) + 2 + uniseg.StringWidth(d.availability)
	line := s.paint(colour, mark) + " " + s.paint(bold, text) + "  " + s.paint(colour, d.availability)
	if room := width - used - 2; d.model != "" && room > 12 {
		model := fit(d.model, room)
		used += 2 + uniseg.StringWidth(model)
		line += "  " + s.paint(dim, model)
	}
	if room := width - used - 2; d.problem != "" && d.availability == mqtt.Online && room > 12 {
		line += "  " + s.paint(yellow, fit("! "+d.problem, room))
	}
	return line
}

// columns are the widths of one table; figures are fps, inference time and age.
type columns struct {
	camera, label, bar, trail int
	figures                   bool
}

// Cells of a row beside its columns.
const (
	rowFixed   = 4 + 1 + 2 + 8 // margin, gaps, score
	rowFigures = 9 + 11 + 9
)

func (b *Board) columns(width int) columns {
	c := columns{camera: 6, label: 7, figures: width >= 64}
	fixed := rowFixed
	if c.figures {
		fixed += rowFigures
	}
	for _, d := range b.devices {
		for _, camera := range d.cameras {
			c.camera = max(c.camera, min(24, uniseg.StringWidth(camera.name)))
			c.label = max(c.label, min(24, uniseg.StringWidth(camera.label)))
		}
	}
	room := width - fixed - c.camera - c.label
	for room < 0 && (c.camera > 6 || c.label > 7) {
		c.camera, c.label = max(6, c.camera-1), max(7, c.label-1)
		room = width - fixed - c.camera - c.label
	}
	if c.bar = min(barMax, room); c.bar < barMin {
		c.bar = 0
	}
	if c.trail = min(trailMax, room-c.bar-2); c.trail < 8 {
		c.trail = 0
	}
	return c
}

func (c columns) heading() string {
	text := "    " + pad("camera", c.camera) + " " + pad("label", c.label) + "  "
	text += pad("", c.bar) + fmt.Sprintf(" %7s", "score")
	if c.figures {
		text += fmt.Sprintf(" %8s %10s %8s", "fps", "inference", "age")
	}
	if c.trail > 0 {
		text += "  latest results"
	}
	return text
}

func (b *Board) row(s Style, c columns, camera *cameraRow, now time.Time) string {
	line := "    " + pad(camera.name, c.camera) + " "
	if camera.status != mqtt.CameraOnline && camera.status != "" {
		mark := yellow
		if camera.status == mqtt.CameraOffline || camera.status == mqtt.CameraStalled {
			mark = red
		}
		return line + s.paint(mark, fit(camera.status, c.label+c.bar+8))
	}
	colour := b.colour(camera.label)
	label, gap := fit(camera.label, c.label), c.label-uniseg.StringWidth(fit(camera.label, c.label))
	if now.Sub(camera.changed) < flash {
		line += s.paint(colour+";"+bold+";"+invert, label)
	} else {
		line += s.paint(colour, label)
	}
	line += strings.Repeat(" ", gap+2)
	if camera.seen.IsZero() {
		return line + s.paint(dim, fit("no result yet", c.bar+8))
	}
	line += s.paint(colour, bar(camera.score, c.bar)) + fmt.Sprintf(" %5.1f %%", 100*camera.score)
	if c.figures {
		line += camera.figures(s, now)
	}
	if c.trail > 0 {
		line += "  "
		for _, l := range camera.trail[max(0, len(camera.trail)-c.trail):] {
			line += s.paint(b.colour(l), "▪")
		}
	}
	return line
}

func (c *cameraRow) figures(s Style, now time.Time) string {
	fps := "–"
	if c.fps > 0 {
		fps = fmt.Sprintf("%.1f", math.Min(c.fps, 9999))
	}
	return fmt.Sprintf(" %8s %10s", fps, millis(c.infer)) + s.paint(dim, fmt.Sprintf(" %8s", short(now.Sub(c.seen))))
}

// eventLine tells an event.
func (b *Board) eventLine(s Style, e event, width int) string {
	head := fit(e.at.Format("15:04:05")+"  "+pad(e.where, min(32, b.whereWidth()))+"  ", max(0, width-4))
	room := max(0, width-4-uniseg.StringWidth(head))
	line := "    " + s.paint(dim, head)
	if e.what != "" {
		return line + s.paint(yellow, fit(e.what, room))
	}
	from := fit(e.from, room/2-2)
	return line + s.paint(b.colour(e.from), from) + s.paint(dim, " → ") +
		s.paint(b.colour(e.label), fit(e.label, max(0, room-3-uniseg.StringWidth(from))))
}

// whereWidth is the width of the longest place among the events.
func (b *Board) whereWidth() int {
	width := 0
	for _, e := range b.events {
		width = max(width, uniseg.StringWidth(e.where))
	}
	return width
}

func describe(m mqtt.ModelInfo) string {
	if m.Name == "" {
		return ""
	}
	return printable(strings.Join(slices.DeleteFunc([]string{m.Name + " " + m.Version, m.Precision, m.Provider},
		func(s string) bool { return s == "" }), " · "))
}

// bar draws a share of width cells, to the eighth.
func bar(share float64, width int) string {
	eighths := int(math.Round(share * float64(width) * 8))
	text := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		text += string([]rune(" ▏▎▍▌▋▊▉")[part])
	}
	return pad(text, width)
}

// fit cuts text to width cells.
func fit(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	cut, used := "", 0
	for g := uniseg.NewGraphemes(text); g.Next(); used += g.Width() {
		if used+g.Width() > width-1 {
			break
		}
		cut += g.Str()
	}
	if width < 1 {
		return ""
	}
	return cut + "…"
}

// pad fits text and fills it up.
func pad(text string, width int) string {
	text = fit(text, width)
	return text + strings.Repeat(" ", max(0, width-uniseg.StringWidth(text)))
}

func millis(us int64) string { return fmt.Sprintf("%.1f ms", float64(us)/1000) }

// short is an age for people.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
