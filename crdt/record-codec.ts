/**
 * A record as bytes: CBOR of [kind, field, field ...], the fields in a fixed order per kind. Field
 * names are left out and epochs and tokens are flat lists, since a document may hold 100,000 of
 * them. Decoding is total: any bytes give a record that its schema accepts, or undefined.
 *
 *   token [counter, attach]   epoch [counter, attach, counter]   absent null
 *
 * Invariant: one record has one encoding. Fields that a kind got later end with the last that is
 * there: a record without them is the bytes that it was before, and builds of before read it.
 */
import { decode, encode } from 'cborg'
import type { z } from 'zod'
import { MAX_RECORD_BYTES } from './limits.ts'

/** One kind of record: its tag in the bytes, its fields in order, and what they must be. */
export interface Kind {
  readonly kind: string
  readonly fields: readonly string[]
  /** Those that came later, after the others; optional ones. */
  readonly added?: readonly string[]
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
      const { fields = [], added = [] } = byTag.get(record.kind) ?? {}
      const last = added.findLastIndex(field => values.get(field) !== undefined)
      const all = [...fields, ...added.slice(0, last + 1)]
      // A plain Uint8Array of its own memory: Yjs takes no Buffer.
      return new Uint8Array(encode([record.kind, ...all.map(f => pack(f, values.get(f)))]))
    },
    decode: bytes => {
      const list = decodeList(bytes)
      const kind = list === undefined ? undefined : byTag.get(String(list[0]))
      if (list === undefined || kind === undefined) return undefined
      if (list[0] !== kind.kind || !isLongEnough(kind, list)) return undefined
      const all = [...kind.fields, ...(kind.added ?? [])].slice(0, list.length - 1)
      const entries = all.flatMap((field, i) => unpack(field, list[i + 1]))
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

function isLongEnough({ fields, added = [] }: Kind, list: readonly unknown[]): boolean {
  const more = list.length - 1 - fields.length
  return more === 0 || (more > 0 && more <= added.length && list.at(-1) !== null)
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
