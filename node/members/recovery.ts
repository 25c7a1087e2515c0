/**
 * The recovery key: the mesh's private key, sealed with a passphrase, as one word to keep offline.
 * It makes a new first admin when every admin is lost, and nothing in the daily life of a mesh
 * needs it.
 *
 *   shoalrecovery1z...   multibase of CBOR { mesh, salt, nonce, sealed }
 *   sealed = AES-256-GCM(scrypt(passphrase, salt), seed), with the mesh id as associated data
 */
import { createCipheriv, createDecipheriv, scrypt } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { z } from 'zod'
import type { MeshId } from '../../protocols/admission/keys.ts'
import { isMeshId, KEY_BYTES, meshIdOf, signingKey } from '../../protocols/admission/keys.ts'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { Random } from '../ports.ts'

export const RECOVERY_PREFIX = 'shoalrecovery1'

const SALT_BYTES = 16
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** 64 MiB and about a quarter of a second per guess. */
const SCRYPT = { N: 2 ** 16, r: 8, p: 1, maxmem: 128 * 1024 * 1024 }
const MAX_RECOVERY_CHARS = 1024

const sealedSchema = z.strictObject({
  mesh: z.custom<MeshId>(isMeshId),
  salt: z.instanceof(Uint8Array).refine(bytes => bytes.length === SALT_BYTES),
  nonce: z.instanceof(Uint8Array).refine(bytes => bytes.length === NONCE_BYTES),
  sealed: z.instanceof(Uint8Array).refine(bytes => bytes.length === KEY_BYTES + TAG_BYTES)
})

/** `meshSeed`: the 32-byte Ed25519 seed of the mesh key. */
export async function sealRecoveryKey(
  meshSeed: Uint8Array,
  passphrase: string,
  random: Random
): Promise<string> {
  const mesh = meshIdOf(signingKey(meshSeed).publicKey)
  const salt = new Uint8Array(random.bytes(SALT_BYTES))
  const nonce = new Uint8Array(random.bytes(NONCE_BYTES))
  const cipher = createCipheriv('aes-256-gcm', await stretch(passphrase, salt), nonce)
  cipher.setAAD(Buffer.from(mesh))
  const sealed = Buffer.concat([cipher.update(meshSeed), cipher.final(), cipher.getAuthTag()])
  const bytes = encodeCbor({ mesh, salt, nonce, sealed: new Uint8Array(sealed) })
  return `${RECOVERY_PREFIX}${base58btc.encode(bytes)}`
}

/** The mesh's seed. Throws ShoalError BAD_INPUT: no recovery key, or not this passphrase. */
export async function openRecoveryKey(text: string, passphrase: string): Promise<Uint8Array> {
  const sealed = parse(text)
  if (sealed === undefined) throw bad('recoveryKey', 'this is no recovery key of Shoal')
  try {
    const key = await stretch(passphrase, sealed.salt)
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.nonce)
    decipher.setAAD(Buffer.from(sealed.mesh))
    decipher.setAuthTag(sealed.sealed.subarray(KEY_BYTES))
    const seed = decipher.update(sealed.sealed.subarray(0, KEY_BYTES))
    return new Uint8Array(Buffer.concat([seed, decipher.final()]))
  } catch (cause) {
    throw bad('passphrase', 'the passphrase is wrong, or the recovery key was altered', cause)
  }
}

function parse(text: string): z.infer<typeof sealedSchema> | undefined {
  const compact = text.replace(/\s+/g, '')
  if (!compact.startsWith(RECOVERY_PREFIX) || compact.length > MAX_RECOVERY_CHARS) return undefined
  try {
    const bytes = base58btc.decode(compact.slice(RECOVERY_PREFIX.length))
    const parsed = sealedSchema.safeParse(decodeCbor(bytes)?.value)
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

function stretch(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFKC'), salt, KEY_BYTES, SCRYPT, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

function bad(field: string, message: string, cause?: unknown): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message, { cause })
}
