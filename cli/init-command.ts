/** `shoal init`: a new mesh with its first node, or a new first admin from the recovery key. */
import { readFile, writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { messageOf, ShoalError } from '../protocols/fault.ts'
import type { Io } from './io.ts'
import {
  choicesOf,
  describe,
  madeLines,
  type NodeOptions,
  withNodeOptions
} from './node-options.ts'
import { badOption, commonOptions } from './options.ts'
import { report } from './output.ts'
import { recoveryPassphrase } from './passphrase.ts'
import { examples } from './shared.ts'

interface InitOptions extends NodeOptions {
  readonly recoveryFile?: string
  readonly passphraseFile?: string
  readonly fromRecovery?: string
}

export function addInit(program: Command, io: Io): void {
  withNodeOptions(
    program
      .command('init')
      .summary('make a new mesh, with this node as its first admin')
      .description(
        'Makes a mesh key, the first node and its data directory. Prints the recovery key, sealed ' +
          'with a passphrase: keep both offline; they make a new admin when all admins are lost.'
      )
  )
    .option('--recovery-file <file>', 'write the recovery key here instead of to the terminal')
    .option(
      '--passphrase-file <file>',
      'read the passphrase from here (else SHOAL_RECOVERY_PASSPHRASE, else asked for or made)'
    )
    .option('--from-recovery <file>', 'no new mesh: a new first admin of the one of this key')
    .addHelpText(
      'after',
      examples(
        'shoal init --region eu-west --capacity 200G',
        'shoal init --region lab --capacity 50G --name lab-1 --dir /srv/shoal --recovery-file key.txt'
      )
    )
    .action(async (options: InitOptions, command: Command) => {
      const common = commonOptions(command, io)
      const choices = choicesOf(options, common)
      const recoveryKey = await readOptional(options.fromRecovery)
      const { passphrase, isNew } = await recoveryPassphrase(io, {
        file: options.passphraseFile,
        mayMake: recoveryKey === undefined
      })
      const { initMesh } = await import('../node/members/init.ts')
      const { systemClock, systemRandom } = await import('../node/clock.ts')
      const made = await initMesh({
        ...choices,
        passphrase,
        ...(recoveryKey === undefined ? {} : { recoveryKey }),
        clock: systemClock,
        random: systemRandom
      })
      const { recoveryFile } = options
      if (recoveryFile !== undefined) await writeRecovery(recoveryFile, made.recoveryKey)
      const secrets = {
        ...(recoveryFile === undefined ? { recoveryKey: made.recoveryKey } : { recoveryFile }),
        ...(isNew ? { passphrase } : {})
      }
      report(io, common.json, { ...describe(made.identity, choices), ...secrets }, () =>
        [
          `mesh ${made.identity.mesh}`,
          ...madeLines(choices, common),
          '',
          ...secretLines(secrets),
          '',
          `next: shoal up --dir ${common.dir}`
        ].join('\n')
      )
    })
}

function secretLines(secrets: {
  recoveryKey?: string
  recoveryFile?: string
  passphrase?: string
}): string[] {
  const { recoveryKey, recoveryFile, passphrase } = secrets
  return [
    'Keep these offline. They are shown once and stored nowhere in the mesh:',
    recoveryFile === undefined
      ? `  recovery key  ${recoveryKey ?? ''}`
      : `  recovery key  in ${recoveryFile}`,
    ...(passphrase === undefined ? [] : [`  passphrase    ${passphrase}`])
  ]
}

async function writeRecovery(file: string, key: string): Promise<void> {
  try {
    await writeFile(file, `${key}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new ShoalError(
      { code: 'IO_ERROR' },
      `the mesh was made, but ${file} was not written (${messageOf(error)}). The recovery key, ` +
        `shown only now: ${key}`,
      { cause: error }
    )
  }
}

async function readOptional(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw badOption('from-recovery', `cannot read the recovery key: ${messageOf(error)}`)
  }
}
