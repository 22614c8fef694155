package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Whatever keeps a dial from its address is told with the address or name, and with what to try.
func TestWhy(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 554}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: at, Err: err} }
	system := func(n syscall.Errno) error { return dial(os.NewSyscallError("connect", n)) }
	link := func(zone string) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: zone},
			Err: os.NewSyscallError("connect", syscall.EINVAL)}
	}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{system(syscall.ECONNREFUSED), []string{"nothing listens at 192.0.2.7:554", "connection refused", "port"}},
		{dial(context.DeadlineExceeded), []string{"192.0.2.7:554 does not answer", "switched on"}},
		{dial(os.ErrDeadlineExceeded), []string{"192.0.2.7:554 does not answer", "firewall"}},
		{system(syscall.ETIMEDOUT), []string{"192.0.2.7:554 does not answer", "firewall"}},
		{system(syscall.EHOSTUNREACH), []string{"no way to 192.0.2.7:554", "no route to host", "gateway"}},
		{system(syscall.ENETUNREACH), []string{"no way to 192.0.2.7:554", "network is unreachable"}},
		{system(syscall.EACCES), []string{"192.0.2.7:554", "permission denied", "firewall"}},
		{system(syscall.EAFNOSUPPORT), []string{"192.0.2.7:554", "IPv6"}},
		{system(syscall.EMFILE), []string{"192.0.2.7:554: too many open files", "correct host and port"}},
		{dial(errors.New("unheard of")), []string{"192.0.2.7:554: unheard of", "correct host and port"}},
		{link("nix9"), []string{"no network interface nix9", "it has"}},
		{link(""), []string{"wants the network interface", "[fe80::1%25eth0]"}},
		{&net.DNSError{Name: "cam.invalid", IsNotFound: true}, []string{"name cam.invalid", "no such host", "address"}},
		{&net.DNSError{Name: "cam.local", IsNotFound: true}, []string{"name cam.local", "mDNS"}},
		{&net.DNSError{Name: "cam", Err: "server misbehaving", Server: "192.0.2.1:53"},
			[]string{"where cam is (server misbehaving)", "resolv.conf"}},
	} {
		seen, cure, ok := Why(fmt.Errorf("around: %w", c.err))
		text := seen + ": " + cure
		for _, want := range c.want {
			if !ok || !strings.Contains(text, want) {
				t.Errorf("%v: %q, want %q in it", c.err, text, want)
			}
		}
	}
	for _, err := range []error{nil, errors.New("x"), &net.OpError{Op: "read", Err: syscall.ECONNRESET}} {
		if seen, _, ok := Why(err); ok {
			t.Errorf("%v is no dial, got %q", err, seen)
		}
	}
}
