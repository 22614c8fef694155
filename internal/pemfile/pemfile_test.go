package pemfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made is a certificate with its key, both in DER.
func made(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	if cert, err = x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private); err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func block(kind string, der []byte, headers map[string]string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der, Headers: headers})
}

func TestFiles(t *testing.T) {
	certDER, keyDER := made(t)
	_, otherDER := made(t)
	cert, key := block("CERTIFICATE", certDER, nil), block("PRIVATE KEY", keyDER, nil)
	locked := block("RSA PRIVATE KEY", keyDER, map[string]string{"Proc-Type": "4,ENCRYPTED",
		"DEK-Info": "AES-256-CBC,00"})
	mark := []byte("\xef\xbb\xbf")
	for name, c := range map[string]struct {
		cert, key []byte
		want      string // in the error; empty: none
	}{
		"whole":         {cert, key, ""},
		"marks":         {append(mark, cert...), append(mark, key...), ""},
		"Windows":       {bytes.ReplaceAll(cert, []byte("\n"), []byte("\r\n")), key, ""},
		"text before":   {append([]byte("Certificate:\n    Data:\n"), cert...), key, ""},
		"both in one":   {append(append([]byte{}, cert...), key...), append(append([]byte{}, cert...), key...), ""},
		"swapped":       {key, cert, "tls.cert: CERT holds a private key in the place of the certificate"},
		"certificate":   {cert, cert, "tls.key: KEY holds a certificate in the place of the private key"},
		"encrypted":     {cert, block("ENCRYPTED PRIVATE KEY", keyDER, nil), "tls.key: KEY is encrypted"},
		"encrypted old": {cert, locked, "tls.key: KEY is encrypted"},
		"DER":           {certDER, key, "tls.cert: CERT holds a certificate in DER, not in PEM"},
		"DER key":       {cert, keyDER, "tls.key: KEY holds a private key in DER, not in PEM"},
		"PKCS#12":       {append([]byte{0x30, 0x82}, make([]byte, 90)...), key, "openssl pkcs12 -in CERT"},
		"request":       {block("CERTIFICATE REQUEST", certDER, nil), key, "holds the request for a certificate"},
		"trusted":       {block("TRUSTED CERTIFICATE", certDER, nil), key, "'openssl x509 -in CERT"},
		"public":        {cert, block("PUBLIC KEY", keyDER, nil), "tls.key: KEY holds a public key only"},
		"SSH":           {cert, block("OPENSSH PRIVATE KEY", keyDER, nil), "holds a key of SSH"},
		"empty":         {nil, key, "tls.cert: CERT is empty"},
		"UTF-16":        {[]byte("\xff\xfe-\x00"), key, "UTF-16"},
		"cut":           {cert[:len(cert)/2], key, "tls.cert: CERT is cut off"},
		"page":          {[]byte("<html>"), key, "tls.cert: CERT holds no certificate in PEM"},
		"another's":     {cert, block("PRIVATE KEY", otherDER, nil), "CERT and KEY: tls: private key does not"},
	} {
		dir := t.TempDir()
		paths := [2]string{filepath.Join(dir, "CERT"), filepath.Join(dir, "KEY")}
		for i, data := range [][]byte{c.cert, c.key} {
			if err := os.WriteFile(paths[i], data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Pair(paths[0], paths[1], [2]string{"tls.cert", "tls.key"})
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir+"/", ""), c.want)) {
			t.Errorf("%s: got %v, want …%s…", name, err, c.want)
		}
		_, err = Pool(paths[0])
		if bad := strings.Contains(c.want, "CERT") && name != "another's" || strings.Contains(c.want, "UTF-16") ||
			name == "request"; bad != (err != nil) {
			t.Errorf("%s: the authorities: %v", name, err)
		}
	}
	damaged := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(damaged, block("CERTIFICATE", certDER[:40], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pool(damaged); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a certificate whose inside is cut: %v", err)
	}
}
