package checkpoint

// collect makes an empty container, or a tuple of what is on the stack.
func (m *machine) collect(op byte) error {
	switch op {
	case ']', 0x8f:
		return m.pushNew(&list{})
	case '}':
		return m.pushNew(&dict{})
	case ')':
		return m.push(tuple(nil))
	}
	var items []any
	if n := int(op) - 0x84; n >= 1 && n <= 3 { // TUPLE1 to TUPLE3
		if len(m.stack) < n {
			return errPickle
		}
		items = m.stack[len(m.stack)-n:]
		m.stack = m.stack[:len(m.stack)-n]
	} else {
		var err error
		if items, err = m.popMark(); err != nil {
			return err
		}
	}
	if err := m.spend(24 + 16*len(items)); err != nil {
		return err
	}
	for _, v := range items {
		if _, ok := v.(mark); ok {
			return errPickle
		}
	}
	return m.push(append(tuple(nil), items...))
}

func (m *machine) pushNew(container any) error {
	if err := m.spend(100); err != nil {
		return err
	}
	return m.push(container)
}

// fill puts values into the container under them on the stack.
func (m *machine) fill(op byte) error {
	var items []any
	switch op {
	case 'a', 's': // APPEND, SETITEM
		n := map[byte]int{'a': 1, 's': 2}[op]
		if len(m.stack) < n {
			return errPickle
		}
		items = m.stack[len(m.stack)-n:]
		m.stack = m.stack[:len(m.stack)-n]
	default:
		var err error
		if items, err = m.popMark(); err != nil {
			return err
		}
	}
	into, err := m.top()
	if err != nil {
		return err
	}
	for _, v := range items {
		if _, ok := v.(mark); ok {
			return errPickle
		}
	}
	return m.put(into, items, op == 's' || op == 'u')
}

// put appends items to a list, or sets pairs of them in a dict.
func (m *machine) put(into any, items []any, pairs bool) error {
	if err := m.spend(64 * len(items)); err != nil {
		return err
	}
	switch c := into.(type) {
	case opaque:
		return nil
	case *list:
		if !pairs {
			c.items = append(c.items, items...)
			return nil
		}
	case *dict:
		if pairs && len(items)%2 == 0 {
			for i := 0; i < len(items); i += 2 {
				c.set(items[i], items[i+1])
			}
			return nil
		}
	}
	return errPickle
}

// call runs the opcodes with which Python would import and call; here they look up the closed list.
func (m *machine) call(op byte) error {
	switch op {
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.name(module, name)
	case 0x93: // STACK_GLOBAL
		v, err := m.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := v[0].(string)
		name, ok2 := v[1].(string)
		if !ok1 || !ok2 {
			return errPickle
		}
		return m.name(module, name)
	case 'Q': // BINPERSID
		v, err := m.pop()
		if err != nil {
			return err
		}
		s, err := newStorage(v)
		if err != nil {
			return err
		}
		m.storages[s.key] = s
		return m.pushNew(s)
	case 'b': // BUILD: the state of an object; what is read here has none that matters
		_, err := m.pop()
		return err
	}
	n := 2 // REDUCE, NEWOBJ: callable, arguments
	if op == 0x92 {
		n = 3 // NEWOBJ_EX: and keywords
	}
	v, err := m.popN(n)
	if err != nil {
		return err
	}
	if unseen, ok := v[0].(opaque); ok { // what an unknown object would be called for
		return m.pushNew(unseen)
	}
	f, ok1 := v[0].(global)
	args, ok2 := v[1].(tuple)
	if !ok1 || !ok2 {
		return errPickle
	}
	result, size, err := f.call(args)
	if err != nil {
		return err
	}
	if err := m.spend(size); err != nil {
		return err
	}
	return m.pushNew(result)
}

// popN takes n values off the stack, the lowest first.
func (m *machine) popN(n int) ([]any, error) {
	v := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if v[i], err = m.pop(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (m *machine) name(module, name string) error {
	g := global(module + "." + name)
	if !g.known() && m.stranger == "" {
		m.stranger = g
	}
	if err := m.spend(len(g) + 32); err != nil {
		return err
	}
	return m.push(g)
}
