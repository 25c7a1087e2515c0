/**
 * Membership certificates. A chain is a node's certificate and those of its issuers, up to the one
 * that the mesh key signed:
 *
 *   node  <-signed by-  admin  <-signed by-  admin  <-signed by-  mesh key
 *
 * Invariants: every certificate of a chain names the same mesh; every issuer in it is an admin
 * whose certificate covered the instant of issue (so an admin's later expiry takes nobody along);
 * a chain is read without a clock, and judged with the time and the revocations as arguments.
 * Dates before `issuedAt` are not refused: an issuer is trusted, a fast clock of its is common.
 */
import { z } from 'zod'
import type { NodeId, Nonce } from '../ids.ts'
import { isCounter, isName, isNodeId, isNonce } from '../ids.ts'
import { seal, unseal } from './envelope.ts'
import type { MeshId, SigningKey } from './keys.ts'
import { isMeshId, publicKeyOf } from './keys.ts'
import { MAX_CERTIFICATE_BYTES, MAX_CHAIN_CERTIFICATES } from './limits.ts'
import type { Revocations } from './revocation.ts'

export type Role = 'admin' | 'node'

export interface Certificate {
  readonly mesh: MeshId
  readonly peer: NodeId
  readonly role: Role
  readonly region: string
  readonly name: string
  /** Wall ms. */
  readonly issuedAt: number
  readonly expiresAt: number
  readonly serial: Nonce
  /** An admin, or the mesh key itself. */
  readonly issuer: NodeId | MeshId
}

/** Sealed certificates, the node's own first. */
export type Chain = readonly Uint8Array[]

export const certificateSchema = z.strictObject({
  mesh: z.custom<MeshId>(isMeshId),
  peer: z.custom<NodeId>(isNodeId),
  role: z.enum(['admin', 'node']),
  region: z.custom<string>(isName),
  name: z.custom<string>(isName),
  issuedAt: z.custom<number>(isCounter),
  expiresAt: z.custom<number>(isCounter),
  serial: z.custom<Nonce>(isNonce),
  issuer: z.union([z.custom<NodeId>(isNodeId), z.custom<MeshId>(isMeshId)])
})

export const chainSchema: z.ZodType<Chain> = z
  .array(z.instanceof(Uint8Array).refine(bytes => bytes.length <= MAX_CERTIFICATE_BYTES))
  .min(1)
  .max(MAX_CHAIN_CERTIFICATES)

export function issueCertificate(key: SigningKey, certificate: Certificate): Uint8Array {
  return seal(key, 'certificate', certificate)
}

export type ChainFault = 'BAD_MESSAGE' | 'FOREIGN_MESH' | 'BAD_SIGNATURE'

/** The certificates of a chain that leads up to `mesh`, the node's own first; or why not. */
export function readChain(chain: Chain, mesh: MeshId): readonly Certificate[] | ChainFault {
  if (chain.length === 0 || chain.length > MAX_CHAIN_CERTIFICATES) return 'BAD_MESSAGE'
  const read: Certificate[] = []
  for (const [at, bytes] of chain.entries()) {
    if (bytes.length > MAX_CERTIFICATE_BYTES) return 'BAD_MESSAGE'
    const envelope = unseal(bytes, 'certificate')
    const parsed = certificateSchema.safeParse(envelope?.payload)
    if (envelope === undefined || !parsed.success) return 'BAD_MESSAGE'
    const certificate = parsed.data
    if (certificate.mesh !== mesh) return 'FOREIGN_MESH'
    const below = read[at - 1]
    if (below !== undefined && !couldIssue(certificate, below)) return 'BAD_SIGNATURE'
    const key = publicKeyOf(certificate.issuer)
    if (key === undefined || !envelope.isSignedBy(key)) return 'BAD_SIGNATURE'
    read.push(certificate)
  }
  return read.at(-1)?.issuer === mesh ? read : 'BAD_SIGNATURE'
}

function couldIssue(issuer: Certificate, issued: Certificate): boolean {
  return (
    issued.issuer === issuer.peer &&
    issuer.role === 'admin' &&
    issuer.issuedAt <= issued.issuedAt &&
    issued.issuedAt <= issuer.expiresAt
  )
}

export type Judgement = 'valid' | 'expired' | 'revoked'

/** `chain` as readChain gave it. A node is revoked for good; an issuer, from `since` on. */
export function judgeChain(
  chain: readonly Certificate[],
  revocations: Revocations,
  nowMs: number
): Judgement {
  const own = chain[0]
  if (own === undefined || revocations.has(own.peer)) return 'revoked'
  for (const [at, issued] of chain.entries()) {
    const since = revocations.get(issued.issuer as NodeId)
    if (at + 1 < chain.length && since !== undefined && since <= issued.issuedAt) return 'revoked'
  }
  return own.expiresAt <= nowMs ? 'expired' : 'valid'
}

/** True in the last third of a certificate's life: time to renew it. */
export function isDueForRenewal(certificate: Certificate, nowMs: number): boolean {
  const lifeMs = certificate.expiresAt - certificate.issuedAt
  return nowMs >= certificate.expiresAt - lifeMs / 3
}
