/**
 * The passphrase of a recovery key: from a file, the environment or the terminal, else made.
 *
 * Invariant: a made passphrase has at least 100 bits and can be read out over a telephone.
 */
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { messageOf } from '../protocols/fault.ts'
import type { Io } from './io.ts'
import { badOption } from './options.ts'

/** No letters and digits that look alike: 31 of them, nearly 5 bits each. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'
const GROUPS = 6
const GROUP_CHARS = 4
const MIN_CHARS = 8

export interface Passphrase {
  readonly passphrase: string
  /** It was made here and has to be shown. */
  readonly isNew: boolean
}

export async function recoveryPassphrase(
  io: Io,
  from: { file: string | undefined; mayMake: boolean }
): Promise<Passphrase> {
  const given = await givenPassphrase(io, from.file)
  if (given !== undefined) return { passphrase: checked(given), isNew: false }
  if (io.isInteractive) {
    const typed = await io.ask(
      from.mayMake
        ? 'Passphrase for the recovery key (empty: one is made): '
        : 'Passphrase of the recovery key: ',
      { hidden: true }
    )
    if (typed !== '') return { passphrase: await repeated(io, typed, from.mayMake), isNew: false }
  }
  if (!from.mayMake) {
    throw badOption(
      'passphrase-file',
      'the recovery key needs its passphrase: pass --passphrase-file, or set ' +
        'SHOAL_RECOVERY_PASSPHRASE'
    )
  }
  return { passphrase: makePassphrase(), isNew: true }
}

async function givenPassphrase(io: Io, file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return io.env.SHOAL_RECOVERY_PASSPHRASE
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    throw badOption('passphrase-file', `cannot read the passphrase: ${messageOf(error)}`)
  }
}

async function repeated(io: Io, typed: string, isNew: boolean): Promise<string> {
  if (!isNew) return typed
  checked(typed)
  const again = await io.ask('The same again: ', { hidden: true })
  if (again === typed) return typed
  throw badOption('passphrase', 'the two passphrases differ: try again')
}

function checked(passphrase: string): string {
  if (passphrase.length >= MIN_CHARS) return passphrase
  throw badOption('passphrase', `a passphrase has at least ${MIN_CHARS} characters`)
}

export function makePassphrase(): string {
  const letter = () => ALPHABET[randomInt(ALPHABET.length)]
  const group = () => Array.from({ length: GROUP_CHARS }, letter).join('')
  return Array.from({ length: GROUPS }, group).join('-')
}
