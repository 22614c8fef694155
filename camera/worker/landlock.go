package worker

// extern int vggse_locked;
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vggse/vggse-agent/internal/landlock"
)

// locked is why this process, a child, is not what its parent's lockMessage has asked for.
func locked() error {
	switch C.vggse_locked {
	case 0:
		return nil
	case -1:
		return errors.New("the program was not asked to lock itself in")
	}
	return fmt.Errorf("restricting files by Landlock: %w", syscall.Errno(C.vggse_locked))
}

// rulesOf are the files that a child of the profile sees.
func rulesOf(p *profile, env map[string]string) (rules []landlock.Rule) {
	libraries := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	for _, path := range append(libraries, "/usr", "/lib", "/lib64", "/nix/store") {
		rules = append(rules, landlock.Rule{Path: path, Access: landlock.ReadFolder})
	}
	// What the loader, Go's runtime and OpenCV ask about the machine.
	for _, path := range []string{
		"/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
		"/proc/stat", "/proc/version", "/sys/devices/system", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup",
		"/dev/urandom", "/dev/random", "/dev/zero",
	} {
		rules = append(rules, landlock.Rule{Path: path, Access: landlock.ReadFolder})
	}
	rules = append(rules, landlock.Rule{Path: "/dev/null", Access: landlock.UseDevice})
	for key, value := range env {
		if strings.HasPrefix(key, "GST_") && !strings.Contains(key, "DEBUG") { // plugins, and the list of them
			for _, path := range filepath.SplitList(value) {
				rules = append(rules, landlock.Rule{Path: path, Access: landlock.ReadFolder})
			}
		}
	}
	if p.network {
		for _, path := range []string{"resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf", "services",
			"ssl", "pki", "ca-certificates", "crypto-policies", "gnutls"} {
			rules = append(rules, landlock.Rule{Path: "/etc/" + path, Access: landlock.ReadFolder})
		}
	}
	for _, path := range p.reads {
		rules = append(rules, landlock.Rule{Path: path, Access: landlock.ReadFolder})
	}
	for _, path := range p.writes {
		rules = append(rules, landlock.Rule{Path: path, Access: landlock.UseDevice})
	}
	return rules
}
