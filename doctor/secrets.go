package doctor

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/vggse/vggse-agent/mqtt"
)

// checkSecrets looks at who else can read the files with secrets, or a password on its way.
func checkSecrets(_ context.Context, p *Target) (all []Finding) {
	m := &p.Config.MQTT
	for _, f := range []struct{ key, path string }{{"mqtt.password_file", m.PasswordFile}, {"mqtt.tls.key", m.TLS.Key},
		{"http.token_file", p.Config.HTTP.TokenFile}} {
		info, err := os.Stat(f.path)
		if f.path == "" || err != nil { // who reads it says what is wrong
			continue
		}
		if mode := info.Mode().Perm(); mode&0o026 != 0 { // others may read, or group and others write
			all = append(all, one("secrets", Warn, fmt.Sprintf("%s: %s has mode %04o: other accounts can read or "+
				"change it", f.key, f.path, mode), "chmod 600 "+f.path)...)
		}
	}
	u, err := mqtt.ParseBroker(m.Broker)
	if err != nil || m.User == "" || u.Scheme != "tcp" && u.Scheme != "ws" {
		return all
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		all = append(all, one("secrets", Warn, "user and password go to "+u.Host+" in clear text",
			"write ssl:// (wss://) in mqtt.broker, and set mqtt.tls.ca")...)
	}
	return all
}
