/**
 * Invites: a signed, expiring token that lets one new node join, at the admin that issued it.
 *
 *   text   shoal1z...   "shoal1" and multibase base58btc of the sealed invite; one word to paste
 *
 * Invariants: an altered token is recognised before anything is dialled (the issuer's id is its
 * public key); the secret is known to nobody but issuer and invited, and the issuer's ledger of
 * used invites is keyed by its hash.
 */
import { createHash } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { z } from 'zod'
import type { NodeId } from '../ids.ts'
import { isCounter, isNodeId } from '../ids.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES } from '../limits.ts'
import type { Role } from './certificate.ts'
import { seal, unseal } from './envelope.ts'
import type { MeshId, SigningKey } from './keys.ts'
import { isMeshId, publicKeyOf } from './keys.ts'
import { MAX_INVITE_BYTES, MAX_INVITE_CHARS } from './limits.ts'

export const INVITE_PREFIX = 'shoal1'
export const INVITE_SECRET_BYTES = 16

export interface Invite {
  readonly mesh: MeshId
  readonly issuer: NodeId
  readonly role: Role
  /** Multiaddrs of the issuer, without its peer id. */
  readonly addresses: readonly string[]
  readonly secret: Uint8Array
  /** Wall ms. */
  readonly issuedAt: number
  readonly expiresAt: number
}

const inviteSchema = z.strictObject({
  mesh: z.custom<MeshId>(isMeshId),
  issuer: z.custom<NodeId>(isNodeId),
  role: z.enum(['admin', 'node']),
  addresses: z.array(z.string().max(MAX_ADDRESS_CHARS)).max(MAX_ADDRESSES),
  secret: z.instanceof(Uint8Array).refine(bytes => bytes.length === INVITE_SECRET_BYTES),
  issuedAt: z.custom<number>(isCounter),
  expiresAt: z.custom<number>(isCounter)
})

export function signInvite(key: SigningKey, invite: Invite): Uint8Array {
  return seal(key, 'invite', { ...invite, addresses: [...invite.addresses] })
}

/** The invite, if the issuer that it names signed it; expiry is for the caller to judge. */
export function readInvite(sealed: Uint8Array): Invite | 'BAD_MESSAGE' | 'BAD_SIGNATURE' {
  if (sealed.length > MAX_INVITE_BYTES) return 'BAD_MESSAGE'
  const envelope = unseal(sealed, 'invite')
  const parsed = inviteSchema.safeParse(envelope?.payload)
  if (envelope === undefined || !parsed.success) return 'BAD_MESSAGE'
  const key = publicKeyOf(parsed.data.issuer)
  return key !== undefined && envelope.isSignedBy(key) ? parsed.data : 'BAD_SIGNATURE'
}

export function inviteText(sealed: Uint8Array): string {
  return `${INVITE_PREFIX}${base58btc.encode(sealed)}`
}

/** The sealed bytes behind a token's text; surrounding blanks and line breaks are forgiven. */
export function parseInviteText(text: string): Uint8Array | undefined {
  if (text.length > MAX_INVITE_CHARS) return undefined
  const compact = text.replace(/\s+/g, '')
  if (!compact.startsWith(INVITE_PREFIX)) return undefined
  try {
    return base58btc.decode(compact.slice(INVITE_PREFIX.length))
  } catch {
    return undefined
  }
}

/** The name of an invite in the ledger of used ones. */
export function inviteMark(invite: Invite): string {
  return createHash('sha256').update(invite.secret).digest('hex').slice(0, 32)
}
