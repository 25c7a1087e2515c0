/**
 * What is signed, and how: CBOR of [payload bytes, signature]. The signature covers a context and
 * the payload as it was received, so that nothing signed for one use passes for another and no
 * re-encoding stands between the signer and the verifier.
 */
import { decodeCbor, encodeCbor } from '../cbor.ts'
import type { SigningKey } from './keys.ts'
import { isSignature, SIGNATURE_BYTES } from './keys.ts'

export type Context = 'certificate' | 'invite' | 'revocation'

export interface Envelope {
  /** Decoded, not yet trusted. */
  readonly payload: unknown
  isSignedBy: (publicKey: Uint8Array) => boolean
}

export function seal(key: SigningKey, context: Context, payload: unknown): Uint8Array {
  const bytes = encodeCbor(payload)
  return encodeCbor([bytes, key.sign(toSign(context, bytes))])
}

/** Undefined if the bytes are no envelope. */
export function unseal(bytes: Uint8Array, context: Context): Envelope | undefined {
  const pair = decodeCbor(bytes)?.value
  if (!Array.isArray(pair) || pair.length !== 2) return undefined
  const [body, signature] = pair as [unknown, unknown]
  if (!(body instanceof Uint8Array) || !(signature instanceof Uint8Array)) return undefined
  if (signature.length !== SIGNATURE_BYTES) return undefined
  const payload = decodeCbor(body)
  if (payload === undefined) return undefined
  return {
    payload: payload.value,
    isSignedBy: publicKey => isSignature(publicKey, toSign(context, body), signature)
  }
}

function toSign(context: Context, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`shoal ${context} 1\n`), payload])
}
