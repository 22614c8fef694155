package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"

	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
)

// printHint tells how to see what the agent sees, and its first message, with lines to copy.
func printHint(w io.Writer, c *configs.Config, brokerURL, pageURL string) {
	if pageURL != "" {
		printPage(w, c, pageURL)
	}
	if c.MQTT.Broker != mqtt.Embedded {
		return
	}
	u, err := url.Parse(brokerURL)
	if err != nil {
		return
	}
	fmt.Fprintf(w, `
  broker   %s (embedded)
  labels   mosquitto_sub -h %s -p %s -v -t '%s/+/+/classification'   (Debian: mosquitto-clients)
  table    %s watch --broker %s

`, brokerURL, u.Hostname(), u.Port(), c.MQTT.TopicPrefix, os.Args[0], brokerURL)
}

// printPage tells the address of the live page and, where it asks for a code, how to read that: the
// code itself stays out of logs and histories.
func printPage(w io.Writer, c *configs.Config, pageURL string) {
	fmt.Fprintf(w, "\n  open     %s   in a browser: what the agent sees, and why it decides so\n", pageURL)
	u, err := url.Parse(pageURL)
	if err != nil || c.HTTP.TokenFile == "" {
		return
	}
	if !c.HTTP.Local() {
		for _, ip := range addresses() {
			fmt.Fprintf(w, "           %s://%s/\n", u.Scheme, net.JoinHostPort(ip, u.Port()))
		}
	}
	fmt.Fprintf(w, "  code     cat %s   to look\n", c.HTTP.TokenFile)
	if c.HTTP.ActTokenFile != "" {
		fmt.Fprintf(w, "           cat %s   to look and act\n", c.HTTP.ActTokenFile)
	}
}

// addresses are those of this machine that others may reach it under.
func addresses() []string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var found []string
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			found = append(found, n.IP.String())
		}
	}
	return found
}
