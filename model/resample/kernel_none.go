package resample

func (p *Plan) apply(dst *Target, src []byte, stride int) { p.applyPlain(dst, src, stride) }
