// Package reach says why an address of the network cannot be reached, and what to try.
package reach

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
)

// Why takes the error of a dial apart: what was seen, and what to try. ok is false for other errors. Neither text
// differs from one attempt to the next.
func Why(err error) (seen, cure string, ok bool) {
	var name *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &name):
		return lookup(name)
	case !errors.As(err, &op) || op.Op != "dial":
		return "", "", false
	}
	at, zone := "the address", ""
	if op.Addr != nil {
		at = op.Addr.String()
		host, _, _ := net.SplitHostPort(at)
		host, zone, _ = strings.Cut(host, "%")
		if ip := net.ParseIP(host); ip != nil && ip.IsLinkLocalUnicast() && ip.To4() == nil && linked(zone) != "" {
			return at + " has no way", linked(zone), true
		}
	}
	var number syscall.Errno
	errors.As(err, &number)
	said := op.Err.Error()
	if number != 0 {
		said = number.Error()
	}
	switch {
	case number == syscall.ECONNREFUSED:
		return fmt.Sprintf("nothing listens at %s (%s)", at, said), "switch on what should, or correct host and port",
			true
	case op.Timeout():
		return at + " does not answer (timeout)", "see whether it is switched on and in this network, and whether a " +
			"firewall stands between; else correct the address", true
	case number == syscall.EHOSTUNREACH || number == syscall.ENETUNREACH || number == syscall.EHOSTDOWN ||
		number == syscall.ENETDOWN:
		return fmt.Sprintf("there is no way to %s (%s)", at, said), "see whether it is switched on, and this " +
			"device's own network and gateway; else correct the address", true
	case number == syscall.EACCES || number == syscall.EPERM:
		return fmt.Sprintf("this machine does not let anybody go to %s (%s)", at, said), "see its firewall, and " +
			"whether the address is one of a device", true
	case number == syscall.EADDRNOTAVAIL || number == syscall.EAFNOSUPPORT:
		return fmt.Sprintf("this machine has no network for %s (%s)", at, said), "write an address of the other kind " +
			"(IPv4, IPv6), or switch that kind on", true
	}
	return fmt.Sprintf("%s: %s", at, said), "correct host and port, and see this device's network", true
}

// lookup is Why for a name.
func lookup(e *net.DNSError) (seen, cure string, ok bool) {
	switch {
	case e.IsNotFound && strings.HasSuffix(e.Name, ".local"):
		return fmt.Sprintf("nobody knows the name %s (no such host)", e.Name), "write the address in its place: " +
			"names in .local want mDNS on this machine (libnss-mdns)", true
	case e.IsNotFound:
		return fmt.Sprintf("nobody knows the name %s (no such host)", e.Name), "correct it, or write the address in " +
			"its place", true
	}
	return fmt.Sprintf("the name server does not say where %s is (%s)", e.Name, e.Err), "see this device's network " +
		"and its name server (/etc/resolv.conf), or write the address in its place", true
}

// linked is what is wrong with the interface behind the % of a link-local address; "": nothing.
func linked(zone string) string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	var names []string
	for _, i := range all {
		if i.Name == zone || fmt.Sprint(i.Index) == zone {
			return ""
		}
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	there := "none but the loopback"
	if len(names) > 0 {
		there = strings.Join(names, ", ")
	}
	if zone == "" {
		return "an address of the link (fe80::) wants the network interface that leads there behind it, as in " +
			"[fe80::1%25eth0]: this machine has " + there
	}
	return fmt.Sprintf("this machine has no network interface %s, it has %s: correct what stands behind the %%", zone,
		there)
}
