// Package pemfile reads files of certificates and keys in PEM, and says what stands there instead, and what
// a certificate is made for.
package pemfile

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// limit is the largest file of certificates or of a key that is read, bytes.
const limit = 4 << 20

// Pool holds the certificates of a file: the authorities to believe. An error names the file, what is
// wrong with it and the cure.
func Pool(path string) (*x509.CertPool, error) {
	text, err := read(path, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: the certificate in it is damaged: copy it again", path)
	}
	return pool, nil
}

// Pair is a certificate with its key. In keys stand the names of the two settings, for errors, which
// name the file and the cure, too.
func Pair(cert, key string, keys [2]string) (pair tls.Certificate, err error) {
	certText, err := read(cert, "CERTIFICATE")
	if err != nil {
		return pair, fmt.Errorf("%s: %w", keys[0], err)
	}
	keyText, err := read(key, "PRIVATE KEY")
	if err != nil {
		return pair, fmt.Errorf("%s: %w", keys[1], err)
	}
	if pair, err = tls.X509KeyPair(certText, keyText); err != nil {
		return pair, fmt.Errorf("%s: %s and %s: %w", keys[0], cert, key, err)
	}
	return pair, nil
}

// read returns the text of a PEM file that holds a block of the kind wanted, a "CERTIFICATE" or any
// "PRIVATE KEY", without a byte order mark.
func read(path, want string) ([]byte, error) {
	text, err := atomicfile.ReadSmall(path, limit)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	var others []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		kind := block.Type
		if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			kind = "ENCRYPTED PRIVATE KEY"
		}
		if kind == want || want == "PRIVATE KEY" && (kind == "RSA PRIVATE KEY" || kind == "EC PRIVATE KEY") {
			return text, nil
		}
		others = append(others, kind)
	}
	for _, kind := range others {
		if cure := instead(path, kind, want); cure != "" {
			return nil, fmt.Errorf("%s %s", path, cure)
		}
	}
	return nil, fmt.Errorf("%s %s", path, unlike(path, text, want))
}

// instead says what a block is that stands in the place of another; empty: nothing that tells.
func instead(path, kind, want string) string {
	switch {
	case kind == "ENCRYPTED PRIVATE KEY" && want == "PRIVATE KEY":
		return fmt.Sprintf("is encrypted, and nobody is here to give its passphrase: 'openssl pkey -in %s -out FILE' "+
			"writes it without; let only the agent read FILE", path)
	case kind == "OPENSSH PRIVATE KEY":
		return "holds a key of SSH: TLS wants one of its own"
	case strings.HasSuffix(kind, "PRIVATE KEY"):
		return "holds a private key in the place of the certificate: have the two been swapped?"
	case kind == "CERTIFICATE":
		return "holds a certificate in the place of the private key: have the two been swapped?"
	case strings.HasSuffix(kind, "CERTIFICATE REQUEST"):
		return "holds the request for a certificate: give what the authority has made of it"
	case strings.HasSuffix(kind, "PUBLIC KEY"):
		return "holds a public key only"
	case kind == "TRUSTED CERTIFICATE", kind == "X509 CERTIFICATE":
		return fmt.Sprintf("holds a certificate in OpenSSL's own form: 'openssl x509 -in %s -out FILE' writes it in "+
			"PEM", path)
	}
	return ""
}

// unlike says what a file without PEM is.
func unlike(path string, data []byte, want string) string {
	name := map[string]string{"CERTIFICATE": "certificate", "PRIVATE KEY": "private key"}[want]
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "is empty: it should hold a " + name + " in PEM"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "is text in UTF-16: save it as UTF-8"
	case bytes.Contains(data, []byte("-----BEGIN")):
		return "is cut off or damaged: no block of PEM in it is whole; copy it again"
	case data[0] != 0x30: // every file in DER begins with a SEQUENCE
		return "holds no " + name + " in PEM"
	}
	if _, err := x509.ParseCertificate(data); err == nil {
		return fmt.Sprintf("holds a certificate in DER, not in PEM: 'openssl x509 -inform der -in %s -out FILE' "+
			"writes it in PEM", path)
	}
	_, err1 := x509.ParsePKCS8PrivateKey(data)
	_, err2 := x509.ParsePKCS1PrivateKey(data)
	if _, err3 := x509.ParseECPrivateKey(data); err1 == nil || err2 == nil || err3 == nil {
		return fmt.Sprintf("holds a private key in DER, not in PEM: 'openssl pkey -inform der -in %s -out FILE' "+
			"writes it in PEM", path)
	}
	return fmt.Sprintf("holds no PEM; if it is PKCS#12 (.p12, .pfx), 'openssl pkcs12 -in %s -nodes -out FILE' writes "+
		"its %s in PEM", path, name)
}

// Names are the names and addresses that a certificate is made for, the first few; "": none.
func Names(cert *x509.Certificate) string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return fmt.Sprintf("%.200s", strings.Join(names[:min(5, len(names))], ", "))
}
