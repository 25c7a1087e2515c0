/**
 * Revocations: an admin's signed word that a peer is no member any more. Each carries its issuer's
 * chain, so that anyone can check it with nothing but the mesh id.
 *
 * Invariants: the set only grows, and what it means does not depend on the order of arrival: a
 * revocation stays good when its issuer is revoked later, and of two for one peer the earlier
 * `since` counts. `since` matters for admins: certificates that they issued from then on are void
 * (0: all of them; the remedy if an admin's key was stolen, since a thief can date back).
 */
import { z } from 'zod'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import type { NodeId, Nonce } from '../ids.ts'
import { isCounter, isNodeId, isNonce } from '../ids.ts'
import type { Chain } from './certificate.ts'
import { readChain } from './certificate.ts'
import { seal, unseal } from './envelope.ts'
import type { MeshId, SigningKey } from './keys.ts'
import { isMeshId, publicKeyOf } from './keys.ts'
import { MAX_CHAIN_CERTIFICATES, MAX_REVOCATION_BYTES } from './limits.ts'

export interface Revocation {
  readonly mesh: MeshId
  readonly peer: NodeId
  /** Certificates that this peer issued from then on are void. Wall ms. */
  readonly since: number
  /** When it was revoked. Wall ms. */
  readonly at: number
  readonly serial: Nonce
  readonly issuer: NodeId | MeshId
}

/** Revoked peers and the earliest `since` of each. */
export type Revocations = ReadonlyMap<NodeId, number>

const revocationSchema = z.strictObject({
  mesh: z.custom<MeshId>(isMeshId),
  peer: z.custom<NodeId>(isNodeId),
  since: z.custom<number>(isCounter),
  at: z.custom<number>(isCounter),
  serial: z.custom<Nonce>(isNonce),
  issuer: z.union([z.custom<NodeId>(isNodeId), z.custom<MeshId>(isMeshId)])
})

const wireSchema = z.tuple([
  z.instanceof(Uint8Array),
  z.array(z.instanceof(Uint8Array)).max(MAX_CHAIN_CERTIFICATES)
])

/** `chain`: the issuer's own, empty if the mesh key signs. */
export function signRevocation(key: SigningKey, revocation: Revocation, chain: Chain): Uint8Array {
  return encodeCbor([seal(key, 'revocation', revocation), [...chain]])
}

/** The revocation, if an admin of `mesh` (or the mesh key) signed it. */
export function readRevocation(bytes: Uint8Array, mesh: MeshId): Revocation | undefined {
  if (bytes.length > MAX_REVOCATION_BYTES) return undefined
  const wire = wireSchema.safeParse(decodeCbor(bytes)?.value)
  if (!wire.success) return undefined
  const [sealed, chain] = wire.data
  const envelope = unseal(sealed, 'revocation')
  const parsed = revocationSchema.safeParse(envelope?.payload)
  if (envelope === undefined || !parsed.success || parsed.data.mesh !== mesh) return undefined
  const { issuer } = parsed.data
  const key = publicKeyOf(issuer)
  if (key === undefined || !envelope.isSignedBy(key)) return undefined
  if (issuer === mesh) return parsed.data
  const read = chain.length === 0 ? 'BAD_MESSAGE' : readChain(chain, mesh)
  if (typeof read === 'string') return undefined
  return read[0]?.peer === issuer && read[0].role === 'admin' ? parsed.data : undefined
}

export function addRevocation(known: Map<NodeId, number>, revocation: Revocation): void {
  const before = known.get(revocation.peer)
  if (before === undefined || revocation.since < before)
    known.set(revocation.peer, revocation.since)
}
