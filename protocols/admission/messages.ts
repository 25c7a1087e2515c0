/**
 * Admission: one framed hello and one framed answer inside the encrypted connection, before any
 * stream exists. Frames are a varint length and CBOR; the exchange is in PROTOCOL.md beside this.
 *
 *   dialler  -- hello: member | join | renew ------------------------------->  listener
 *   dialler  <- answer: welcome (goes on) | joined | renewed | refused (ends)   listener
 *
 * Invariants: the dialler speaks first, and only to the peer that it meant to reach; the listener
 * shows its own chain to nobody but a verified member or the bearer of a good invite.
 */
import { z } from 'zod'
import { assert } from '../assert.ts'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import type { Fault } from '../fault.ts'
import { ShoalError } from '../fault.ts'
import type { NodeId } from '../ids.ts'
import { isCounter, isName, isNodeId } from '../ids.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES } from '../limits.ts'
import type { Chain } from './certificate.ts'
import { chainSchema } from './certificate.ts'
import { MAX_HELLO_BYTES, MAX_INVITE_BYTES, MAX_JOIN_PEERS } from './limits.ts'

/** Names of the two secured transports; both run the same admission. */
export const ADMISSION_TLS_PROTOCOL = '/shoal/tls/1'
export const ADMISSION_NOISE_PROTOCOL = '/shoal/noise/1'
export const RENEW_PROTOCOL = '/shoal/renew/1'

export interface KnownPeer {
  readonly id: NodeId
  /** Multiaddrs without the peer id. */
  readonly addresses: readonly string[]
}

export interface JoinRequest {
  readonly invite: Uint8Array
  readonly region: string
  /** The region may be one that no node has named yet. */
  readonly newRegion: boolean
  readonly name: string
  readonly host: string
}

export type Hello =
  | { readonly kind: 'member'; readonly chain: Chain }
  | ({ readonly kind: 'join' } & JoinRequest)
  /** By a member whose certificate expired: it gets a new one here, and nothing else. */
  | { readonly kind: 'renew'; readonly chain: Chain }

export interface Refusal {
  readonly fault: RefusalFault
  readonly message: string
}

export type Answer =
  | { readonly kind: 'welcome'; readonly chain: Chain }
  | { readonly kind: 'joined'; readonly chain: Chain; readonly peers: readonly KnownPeer[] }
  | { readonly kind: 'renewed'; readonly chain: Chain }
  | ({ readonly kind: 'refused' } & Refusal)

const name = z.custom<string>(isName)
const shortText = z.string().max(512)
const sealedInvite = z.instanceof(Uint8Array).refine(bytes => bytes.length <= MAX_INVITE_BYTES)
export const knownPeerSchema = z.strictObject({
  id: z.custom<NodeId>(isNodeId),
  addresses: z.array(z.string().max(MAX_ADDRESS_CHARS)).max(MAX_ADDRESSES)
})

const helloSchema: z.ZodType<Hello> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('member'), chain: chainSchema }),
  z.strictObject({ kind: z.literal('renew'), chain: chainSchema }),
  z.strictObject({
    kind: z.literal('join'),
    invite: sealedInvite,
    region: name,
    newRegion: z.boolean(),
    name,
    host: name
  })
])

const faultSchema = z.discriminatedUnion('code', [
  z.strictObject({ code: z.literal('EXPIRED'), at: z.custom<number>(isCounter) }),
  z.strictObject({ code: z.literal('BAD_SIGNATURE') }),
  z.strictObject({ code: z.literal('FOREIGN_MESH') }),
  z.strictObject({ code: z.literal('INVITE_USED') }),
  z.strictObject({
    code: z.literal('UNKNOWN_REGION'),
    region: shortText,
    known: z.array(name).max(1024)
  }),
  z.strictObject({ code: z.literal('NAME_TAKEN'), name: shortText }),
  z.strictObject({ code: z.literal('BAD_INPUT'), field: shortText.optional() }),
  z.strictObject({ code: z.literal('REVOKED'), peer: shortText }),
  z.strictObject({ code: z.literal('NOT_A_MEMBER') }),
  z.strictObject({ code: z.literal('NOT_ADMIN') })
])
export type RefusalFault = z.infer<typeof faultSchema>

const answerSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('welcome'), chain: chainSchema }),
  z.strictObject({
    kind: z.literal('joined'),
    chain: chainSchema,
    peers: z.array(knownPeerSchema).max(MAX_JOIN_PEERS)
  }),
  z.strictObject({ kind: z.literal('renewed'), chain: chainSchema }),
  z.strictObject({ kind: z.literal('refused'), fault: faultSchema, message: shortText })
]) as z.ZodType<Answer>

export function encodeHello(hello: Hello): Uint8Array {
  return bounded(encodeCbor(hello))
}

export function decodeHello(bytes: Uint8Array): Hello | undefined {
  return decodeAs(helloSchema, bytes)
}

export function encodeAnswer(answer: Answer): Uint8Array {
  return bounded(encodeCbor(answer))
}

export function decodeAnswer(bytes: Uint8Array): Answer | undefined {
  return decodeAs(answerSchema, bytes)
}

export function refusal(
  fault: RefusalFault,
  message: string
): Extract<Answer, { kind: 'refused' }> {
  return { kind: 'refused', fault, message: message.slice(0, 512) }
}

/** A refusal as its receiver throws it. */
export function refusalError(refused: Refusal): ShoalError {
  return new ShoalError(refused.fault as Fault, refused.message)
}

function decodeAs<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  if (bytes.length > MAX_HELLO_BYTES) return undefined
  const parsed = schema.safeParse(decodeCbor(bytes)?.value)
  return parsed.success ? parsed.data : undefined
}

function bounded(bytes: Uint8Array): Uint8Array {
  assert(bytes.length <= MAX_HELLO_BYTES, 'a hello or its answer fits its bound')
  return bytes
}
