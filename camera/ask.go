package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vggse/vggse-agent/vision"
)

// AskWarning stands before each warning in what Ask says.
const AskWarning = "; warning: "

// Ask tries a source as far as that disturbs nobody, and says what it found: files are opened and
// their first picture is read, an RTSP server is asked for its description. Others are not opened.
func Ask(ctx context.Context, source string) (what string, err error) {
	u, err := ParseURI(source)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "demo", "test":
		return "", nil
	case "onvif":
		if err := u.onvif(ctx); err != nil {
			return "", err
		}
		codec, err := u.describe(ctx)
		return "answers, sends " + codec + "; not played", err
	case "rtsp":
		codec, err := u.describe(ctx)
		return "answers, sends " + codec + "; not played", err
	case "http":
		s, info, err := openWeb(ctx, &u)
		if err != nil {
			return "", err
		}
		return "answers, sends " + info.Backend, s.close()
	case "file":
		if info, err := os.Stat(u.Target); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
			return "", fmt.Errorf("%s is neither a file nor a folder", u.Target)
		}
		s, err := Open(ctx, Config{Name: "ask", Source: source})
		if err != nil {
			return "", err
		}
		defer s.Close()
		var f vision.Frame
		if err := s.Read(ctx, &f); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		info := s.Info()
		return strings.Join(append([]string{fmt.Sprintf("%s of %d×%d pixels", info.Kind, f.Width, f.Height)},
			info.Warnings...), AskWarning), nil
	}
	return "not opened, 'vggse-agent cameras test' tries it", nil
}
