package mqtt

import _ "embed"

// AsyncAPI is the contract with every subscriber: an AsyncAPI 3 document in YAML. Tests hold every
// message that they see against it.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// contractVersion is the version of AsyncAPI.
const contractVersion = "1.0.0"
