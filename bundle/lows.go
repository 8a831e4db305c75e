package bundle

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// Anybody can turn an ECDSA signature (r, s) into (r, n-s), which is as good.
// So that no byte of a bundle can change unseen, the format allows the lower s
// only.

type ecdsaSignature struct{ R, S *big.Int }

// lowS gives the one form of a signature that the format allows.
func lowS(key crypto.PublicKey, signature []byte) ([]byte, error) {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return signature, nil
	}
	var sig ecdsaSignature
	if rest, err := asn1.Unmarshal(signature, &sig); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: not an ECDSA signature in DER", ErrSignature)
	}
	n := k.Params().N
	if isLow(n, sig.S) {
		return signature, nil
	}
	sig.S.Sub(n, sig.S)
	return asn1.Marshal(sig)
}

// hasLowS says whether an ECDSA signature is in the form that the format allows.
func hasLowS(k *ecdsa.PublicKey, signature []byte) bool {
	var sig ecdsaSignature
	rest, err := asn1.Unmarshal(signature, &sig)
	return err == nil && len(rest) == 0 && isLow(k.Params().N, sig.S)
}

func isLow(n, s *big.Int) bool { return s.Cmp(new(big.Int).Rsh(n, 1)) <= 0 }
