// Package timestamp gets and checks RFC 3161 timestamps of a bundle's seal: the
// word of a third party that the signature was there at a certain time.
//
//	q, err := timestamp.Query(signature)                     // for a TSA that others reach
//	resp, err := timestamp.Accept(answer, signature)         // what came back: .tsr or bare token
//	resp, err := timestamp.Request(ctx, client, url, signature)
//	stamp, err := timestamp.Check(resp, signature, roots)    // roots nil: whole, but by anybody
//
// The response that [Accept] returns is normal: one spelling, nothing in it that
// is neither fixed nor covered by a signature or a hash. [Check] takes no
// other, so that no byte of it can change unseen. Certificates above the
// authority's own are therefore only kept when the root is among them.
package timestamp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
)

// MaxResponse bounds a response, in bytes.
const MaxResponse = 12 << 10

// ErrTimestamp says that a response is damaged, about something else, or not
// by whom it should be.
var ErrTimestamp = errors.New("the timestamp does not hold")

func bad(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrTimestamp}, a...)...)
}

// request is a TimeStampReq.
type request struct {
	Version  int
	Imprint  imprint
	Nonce    *big.Int `asn1:"optional"`
	WithCert bool
}

type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Hash      []byte
}

func imprintOf(signature []byte) imprint {
	sum := sha256.Sum256(signature)
	return imprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256(), Parameters: asn1.NullRawValue}, sum[:]}
}

// Query is the request (DER, .tsq) for a timestamp of signature. It asks for
// the authority's certificates, and has no nonce: whoever carries it out may
// take any time.
func Query(signature []byte) ([]byte, error) {
	return asn1.Marshal(request{Version: 1, Imprint: imprintOf(signature), WithCert: true})
}

// Request asks the authority at url for a timestamp of signature, and gives
// its response as [Accept] does.
func Request(ctx context.Context, client *http.Client, url string, signature []byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	q, err := asn1.Marshal(request{Version: 1, Imprint: imprintOf(signature), Nonce: nonce, WithCert: true})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(q))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4*MaxResponse)) //nolint:forbidigo // bounded by the LimitReader
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	answer, err := Accept(b, signature)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if t, err := parse(answer); err != nil || t.info.Nonce == nil || t.info.Nonce.Cmp(nonce) != 0 {
		return nil, fmt.Errorf("%s: %w", url, bad("it answers another request (nonce)"))
	}
	return answer, nil
}

// Accept takes what an authority answered, a TimeStampResp or a bare token in
// DER, and gives the response in normal form, checked against signature. Who
// the authority is it does not check.
func Accept(b, signature []byte) ([]byte, error) {
	token, err := tokenIn(b)
	if err != nil {
		return nil, err
	}
	normal, err := normalise(token)
	if err != nil {
		return nil, err
	}
	if len(normal) > MaxResponse {
		return nil, bad("%d bytes, more than %d: ask for one without its root certificate", len(normal), MaxResponse)
	}
	if _, err := Check(normal, signature, nil); err != nil {
		return nil, err
	}
	return normal, nil
}
