// SPDX-License-Identifier: MPL-2.0

package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
)

// quantityForm is a Kubernetes quantity of a bounded length. resource.ParseQuantity reads an exponent modulo 2^32, and calculates a
// large one for minutes.
var quantityForm = regexp.MustCompile(`^[+-]?[0-9.]{1,40}([eE][+-]?[0-9]{1,2}|[a-zA-Z]{0,2})$`)

// maxQuantity is above every bound of a field. In thousandths it fits into an int64; resource.Quantity would wrap a larger one.
const maxQuantity = 1e15

// byteForm is an amount of bytes as people and our own commands write it: 500 kB, 1.4MB, 50 MiB.
var byteForm = regexp.MustCompile(`^([0-9.]+) ?([kKMGTP]i?)?B$`)

// parseBytes reads a Kubernetes quantity, or an amount of bytes with the letter B: kB, KB and k are 1000.
func parseBytes(text string) (resource.Quantity, error) {
	if parts := byteForm.FindStringSubmatch(text); parts != nil {
		unit := parts[2]
		if unit == "K" {
			unit = "k"
		}

		text = parts[1] + unit
	}

	return parseQuantity(text)
}

// parseQuantity reads a Kubernetes quantity of at most 1e15.
func parseQuantity(text string) (resource.Quantity, error) {
	if !quantityForm.MatchString(text) {
		return resource.Quantity{}, fmt.Errorf("failed to parse the quantity %.50q", text)
	}

	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return resource.Quantity{}, err
	}

	if math.Abs(quantity.AsApproximateFloat64()) > maxQuantity {
		return resource.Quantity{}, errors.New("the quantity " + text + " is out of range")
	}

	return quantity, nil
}
