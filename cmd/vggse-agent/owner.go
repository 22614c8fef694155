package main

import (
	"os"

	"github.com/vggse/vggse-agent/internal/account"
)

// becomeOwner makes root the account that the state folder, or a folder or link on the
// way to it, belongs to, for good: what root would
// write or follow in a folder of another account, that account could exchange meanwhile. The file
// of the settings stays the one that was found.
func (s *settings) becomeOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	e, err := s.load()
	if err != nil {
		return err
	}
	uid, gid, err := account.Holder(e.Config.StateDir)
	if err != nil || uid == 0 {
		return err
	}
	s.options.File = e.File
	return account.Become(uid, gid)
}
