/** `shoal node give-up`: a node that will not come back, and what becomes of what it held. */
import type { Command } from 'commander'
import type { GiveUpDocument } from '../node/control/documents.ts'
import type { Io } from './io.ts'
import { commonOptions } from './options.ts'
import { clean, plural, report, size } from './output.ts'
import { askFirst, examples, nodePath } from './shared.ts'

interface GiveUpOptions {
  readonly yes?: boolean
  readonly acceptLoss?: boolean
}

export function addGiveUp(node: Command, io: Io): void {
  node
    .command('give-up')
    .summary('give a node up that will not come back (on an admin)')
    .description(
      'For a node that is gone for good: revokes it, says which data existed only there, and ' +
        'settles the moves in which it took part. First it explains what that means, and asks. The ' +
        'node can return only empty, by a new join. Where a volume has no other copy of a chunk, ' +
        'its data is lost: that needs --accept-loss.'
    )
    .argument('<node>', 'name or id, as in `shoal status`')
    .option('--accept-loss', 'data that exists only there, or only in part elsewhere, is given up')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      examples('shoal node give-up eu-3', 'shoal node give-up eu-3 --accept-loss --yes')
    )
    .action(async (name: string, options: GiveUpOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = `${nodePath(name)}/give-up`
      const plan = await client.get<GiveUpDocument>(path)
      io.err(`${explanation(plan).map(clean).join('\n')}\n`)
      if (options.yes !== true) await askFirst(io, `Give node ${plan.name} up for good?`)
      const acceptLoss = options.acceptLoss === true
      const done = await client.post<GiveUpDocument>(path, { acceptLoss })
      report(io, json, done, () => outcome(done).join('\n'))
    })
}

function explanation(plan: GiveUpDocument): string[] {
  const { name, losses, handoffs, attached, unknown, silent } = plan
  const granted = handoffs.filter(one => one.is === 'prepared').length
  const back = handoffs.filter(one => one.is === 'released').length
  return [
    plan.isRevoked
      ? `${name} has been given up before; what is still open is settled now.`
      : `${name} is cut off for good, and returns only empty, by a new join.`,
    ...(plan.connected
      ? [`! ${name} is connected: \`shoal leave\` there would lose nothing.`]
      : []),
    ...losses.map(
      loss =>
        `! volume ${loss.name}: ${plural(loss.chunks, 'chunk')} (up to ${size(loss.mostBytes)}) ` +
        'exist only there, and are lost'
    ),
    ...unknown.map(volume => `! volume ${volume} cannot be looked at now: it may lose data too`),
    ...(losses.length + unknown.length === 0 ? ['No data exists only there.'] : []),
    ...attached.map(
      volume =>
        `volume ${volume} was attached there: attach it elsewhere with \`shoal volume attach ` +
        `${volume} --take-over\``
    ),
    ...(granted === 0
      ? []
      : [`${plural(granted, 'chunk')} had been copied from it in full: the copies are used`]),
    ...(back === 0
      ? []
      : [`${plural(back, 'chunk')} had just gone there: the nodes they came from take them back`]),
    ...(silent.length === 0 ? [] : [`no answer from ${silent.join(', ')}: run it again later`])
  ]
}

function outcome(done: GiveUpDocument): string[] {
  const refused = done.handoffs.filter(one => one.outcome === 'refused')
  const granted = done.handoffs.filter(one => one.outcome === 'granted').length
  const lost = done.losses.map(loss => loss.name).join(', ')
  return [
    `gave ${done.name} up${lost === '' ? '' : `; its data of ${lost} is lost`}`,
    ...(granted === 0 ? [] : [`${plural(granted, 'chunk')} continue on the copies made of them`]),
    ...refused.map(
      one =>
        `not settled: extent ${one.extent}, column ${one.column} of ${one.volumeName} on ` +
        `${one.target}: ${one.why ?? ''}`
    ),
    ...(refused.length === 0
      ? []
      : [
          `run it again once that is mended, or with --accept-loss: shoal node give-up ${done.name}`
        ])
  ]
}
