/**
 * The first node of a mesh: makes the mesh key, certifies this node as its first admin, and hands
 * the mesh key back sealed, as the recovery key. Nothing of the mesh key stays on this disk.
 */
import type { Certificate } from '../../protocols/admission/certificate.ts'
import { issueCertificate } from '../../protocols/admission/certificate.ts'
import type { MeshId } from '../../protocols/admission/keys.ts'
import { KEY_BYTES, meshIdOf, nodeIdOf, signingKey } from '../../protocols/admission/keys.ts'
import { ADMIN_CERTIFICATE_MS } from '../../protocols/admission/limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { Nonce } from '../../protocols/ids.ts'
import { isName } from '../../protocols/ids.ts'
import { bindDataDirectory } from '../data-directory.ts'
import type { Clock, Random } from '../ports.ts'
import { makePrivateDirectory } from './files.ts'
import type { Identity, Settings } from './identity.ts'
import { hasIdentity, makeIdentity, saveIdentity } from './identity.ts'
import { openRecoveryKey, sealRecoveryKey } from './recovery.ts'

export interface NodeChoices extends Settings {
  readonly dir: string
  readonly region: string
  readonly name: string
}

export interface InitOptions extends NodeChoices {
  /** Seals the recovery key. */
  readonly passphrase: string
  /** Makes a new first admin of an existing mesh, from its recovery key and this passphrase. */
  readonly recoveryKey?: string
  readonly clock: Clock
  readonly random: Random
}

export interface NewMesh {
  readonly identity: Identity
  /** To be kept offline by a person; it is stored nowhere. */
  readonly recoveryKey: string
}

/** Throws ShoalError BAD_INPUT or DATA_DIR (not-empty, not-writable). */
export async function initMesh(options: InitOptions): Promise<NewMesh> {
  const { dir, passphrase, random, recoveryKey: known } = options
  checkChoices(options)
  if (passphrase === '') throw badInput('passphrase', 'the recovery key needs a passphrase')
  const meshSeed =
    known === undefined ? random.bytes(KEY_BYTES) : await openRecoveryKey(known, passphrase)
  await prepareDirectory(dir)
  const identity = firstAdmin(meshSeed, options)
  const recoveryKey = known ?? (await sealRecoveryKey(meshSeed, passphrase, random))
  await saveIdentity(dir, identity)
  bindDataDirectory(dir)
  return { identity, recoveryKey }
}

/** Throws ShoalError BAD_INPUT, naming what is wrong and what would do. */
export function checkChoices(choices: NodeChoices): void {
  for (const field of ['name', 'region', 'host'] as const) {
    if (isName(choices[field])) continue
    const rule = 'use 1 to 63 of a-z 0-9 - . _ , beginning with a letter or digit, without ".."'
    throw badInput(field, `this ${field} cannot be used: ${rule}`)
  }
  const { capacityBytes } = choices
  if (!Number.isSafeInteger(capacityBytes) || capacityBytes < 0) {
    throw badInput('capacity', 'the capacity must be a whole number of bytes, 0 or more')
  }
}

/** Makes the directory if need be. Throws DATA_DIR if a node lives there or it is not writable. */
export async function prepareDirectory(dir: string): Promise<void> {
  try {
    await makePrivateDirectory(dir)
  } catch (cause) {
    const words = `${dir}: the directory cannot be made: choose another, or change its owner`
    throw new ShoalError({ code: 'DATA_DIR', dir, problem: 'not-writable' }, words, { cause })
  }
  if (!(await hasIdentity(dir))) return
  const words = `${dir}: a node lives there already: choose another directory`
  throw new ShoalError({ code: 'DATA_DIR', dir, problem: 'not-empty' }, words)
}

export function badInput(field: string, message: string): ShoalError {
  return new ShoalError({ code: 'BAD_INPUT', field }, message)
}

function firstAdmin(meshSeed: Uint8Array, options: InitOptions): Identity {
  const { clock, random, region, name, host, capacityBytes, listen, announce } = options
  const meshKey = signingKey(meshSeed)
  const mesh: MeshId = meshIdOf(meshKey.publicKey)
  const seed = random.bytes(KEY_BYTES)
  const issuedAt = clock.now()
  const certificate: Certificate = {
    mesh,
    peer: nodeIdOf(signingKey(seed).publicKey),
    role: 'admin',
    region,
    name,
    issuedAt,
    expiresAt: issuedAt + ADMIN_CERTIFICATE_MS,
    serial: Buffer.from(random.bytes(8)).toString('hex') as Nonce,
    issuer: mesh
  }
  const chain = [issueCertificate(meshKey, certificate)]
  return makeIdentity(seed, mesh, chain, { host, capacityBytes, listen, announce })
}
