/**
 * A record as bytes: CBOR of [kind, field, field ...], the fields in a fixed order per kind. Field
 * names are left out and epochs and tokens are flat lists, since a document may hold 100,000 of
 * them. Decoding is total: any bytes give a record that its schema accepts, or undefined.
 *
 *   token [counter, attach]   epoch [counter, attach, counter]   absent null
 */
import { decode, encode } from 'cborg'
import type { z } from 'zod'
import { MAX_RECORD_BYTES } from './limits.ts'

/** One kind of record: its tag in the bytes, its fields in order, and what they must be. */
export interface Kind {
  readonly kind: string
  readonly fields: readonly string[]
  readonly schema: z.ZodType
}

interface Kinded {
  readonly kind: string
}

export interface RecordCodec<R extends Kinded> {
  readonly encode: (record: R) => Uint8Array
  readonly decode: (bytes: Uint8Array) => R | undefined
}

const DECODE = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowBigInt: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
  useMaps: true
}

export function recordCodec<R extends Kinded>(kinds: readonly Kind[]): RecordCodec<R> {
  const byTag = new Map(kinds.map(kind => [kind.kind, kind]))
  return {
    encode: record => {
      const values = new Map(Object.entries(record))
      const fields = byTag.get(record.kind)?.fields ?? []
      // A plain Uint8Array of its own memory: Yjs takes no Buffer.
      return new Uint8Array(encode([record.kind, ...fields.map(f => pack(f, values.get(f)))]))
    },
    decode: bytes => {
      const list = decodeList(bytes)
      const kind = list === undefined ? undefined : byTag.get(String(list[0]))
      if (list === undefined || kind === undefined) return undefined
      if (list[0] !== kind.kind || list.length !== kind.fields.length + 1) return undefined
      const entries = kind.fields.flatMap((field, i) => unpack(field, list[i + 1]))
      const parsed = kind.schema.safeParse({ kind: kind.kind, ...Object.fromEntries(entries) })
      return parsed.success ? (parsed.data as R) : undefined
    }
  }
}

function decodeList(bytes: Uint8Array): unknown[] | undefined {
  if (bytes.length > MAX_RECORD_BYTES) return undefined
  try {
    const value: unknown = decode(bytes, DECODE)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function pack(field: string, value: unknown): unknown {
  if (value === undefined) return null
  if (field !== 'epoch' && field !== 'token') return value
  const { token, counter, attach } = value as {
    token?: { counter: number; attach: string }
    counter: number
    attach: string
  }
  return token === undefined ? [counter, attach] : [token.counter, token.attach, counter]
}

function unpack(field: string, value: unknown): Array<[string, unknown]> {
  if (value === null) return []
  if (!Array.isArray(value)) return [[field, value]]
  const token = { counter: value[0], attach: value[1] }
  if (field === 'token' && value.length === 2) return [[field, token]]
  if (field === 'epoch' && value.length === 3) return [[field, { token, counter: value[2] }]]
  return [[field, value]]
}
