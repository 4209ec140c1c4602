package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

type certificate struct {
	// Name is the file's name without .crt and .key.
	Name         string   `json:"name"`
	CommonName   string   `json:"commonName"`
	Organization []string `json:"organization"`
	Server       bool     `json:"server"`
	Client       bool     `json:"client"`
	DNSNames     []string `json:"dnsNames"`
	Addresses    []string `json:"addresses"`
}

type issueOrder struct {
	// Folder holds ca.crt and ca.key, made if missing, and takes what is issued.
	Folder       string        `json:"folder"`
	Certificates []certificate `json:"certificates"`
	// TokenKey names an RSA key pair to make, NAME.key and NAME.pub, for signing tokens.
	TokenKey string `json:"tokenKey"`
}

type issueAnswer struct{}

const lifetime = 30 * 24 * time.Hour

func issue(in issueOrder) (issueAnswer, error) {
	if err := os.MkdirAll(in.Folder, 0o700); err != nil {
		return issueAnswer{}, err
	}
	ca, caKey, err := authority(in.Folder)
	if err != nil {
		return issueAnswer{}, err
	}
	for _, wanted := range in.Certificates {
		if err := issueOne(in.Folder, wanted, ca, caKey); err != nil {
			return issueAnswer{}, fmt.Errorf("%s: %w", wanted.Name, err)
		}
	}
	if in.TokenKey != "" {
		return issueAnswer{}, tokenKey(filepath.Join(in.Folder, in.TokenKey))
	}
	return issueAnswer{}, nil
}

func authority(folder string) (*x509.Certificate, crypto.Signer, error) {
	path := filepath.Join(folder, "ca")
	if _, err := os.Stat(path + ".crt"); err == nil {
		return readAuthority(path)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "gatehouse-test-ca"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	if err := writePair(path, der, key); err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func readAuthority(path string) (*x509.Certificate, crypto.Signer, error) {
	blocks := make([]*pem.Block, 2)
	for i, end := range []string{".crt", ".key"} {
		data, err := os.ReadFile(path + end)
		if err != nil {
			return nil, nil, err
		}
		if blocks[i], _ = pem.Decode(data); blocks[i] == nil {
			return nil, nil, errors.New(path + end + " is not PEM")
		}
	}
	ca, err := x509.ParseCertificate(blocks[0].Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[1].Bytes)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New(path + ".key cannot sign")
	}
	return ca, signer, nil
}

func issueOne(folder string, wanted certificate, ca *x509.Certificate, caKey crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: wanted.CommonName, Organization: wanted.Organization},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, DNSNames: wanted.DNSNames,
	}
	if wanted.Server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if wanted.Client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, text := range wanted.Addresses {
		address := net.ParseIP(text)
		if address == nil {
			return errors.New(text + " is no address")
		}
		template.IPAddresses = append(template.IPAddresses, address)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	return writePair(filepath.Join(folder, wanted.Name), der, key)
}

func tokenKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writeKey(path+".key", key); err != nil {
		return err
	}
	return writePEM(path+".pub", "PUBLIC KEY", public, 0o644)
}

func writePair(path string, der []byte, key crypto.Signer) error {
	if err := writeKey(path+".key", key); err != nil {
		return err
	}
	return writePEM(path+".crt", "CERTIFICATE", der, 0o644)
}

func writeKey(path string, key crypto.Signer) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", private, 0o600)
}

func writePEM(path, kind string, data []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), mode)
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err)
	}
	return number
}
