/**
 * CBOR (RFC 8949) as Shoal writes and reads it: cborg's deterministic form, so that what is signed
 * has one encoding. Reading is strict and total: no indefinite lengths, no duplicate keys, no
 * trailing bytes, and any bytes at all give a value or nothing, never an exception.
 */
import { decode, encode } from 'cborg'

const READING = {
  strict: true,
  allowIndefinite: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true
}

/** Plain objects, arrays, strings, numbers, booleans, null, undefined and bytes. */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value)
}

/** The value in a box (it may itself be undefined), or undefined if `bytes` is not one value. */
export function decodeCbor(bytes: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: decode(bytes, READING) as unknown }
  } catch {
    return undefined
  }
}
