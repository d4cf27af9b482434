// SPDX-License-Identifier: MPL-2.0

package auth

// MethodRoles is the table of who may call which method.
var MethodRoles = methodRoles
