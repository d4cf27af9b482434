// Package policy decides: samples of one workload in, rule states and the desired ceiling out.
//
// It reads no clock and no file; time is what the samples say. The same samples, the same configuration and the same
// seed always give the same decisions.
package policy
