package prune

import (
	"fmt"
	"strconv"
	"strings"
)

// Ask sets what is asked for by its words: a target such as "2x", how many times fewer
// multiply-adds there shall be; or, where that is empty, a budget such as "0.5pt", how many points
// may be lost.
func (o *Options) Ask(target, budget string) (err error) {
	o.Asked = target + budget
	if target != "" {
		o.Factor, err = strconv.ParseFloat(strings.TrimRight(target, "x×"), 64)
		if err != nil || !(o.Factor > 1 && o.Factor <= 1000) {
			return fmt.Errorf("--target must be a factor above 1 such as 2x, got %q", target)
		}
		return nil
	}
	o.Points, err = strconv.ParseFloat(strings.TrimSuffix(budget, "pt"), 64)
	if err != nil || !(o.Points > 0 && o.Points <= 100) {
		return fmt.Errorf("--budget must be points above 0 such as 0.5pt, got %q", budget)
	}
	return nil
}
