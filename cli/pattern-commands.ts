/** `shoal pattern`: load of a volume that people know in advance, and the zone of its times. */
import type { Command } from 'commander'
import type {
  PatternDocument,
  PatternsDocument,
  ZoneDocument
} from '../node/control/load-documents.ts'
import { printable } from '../node/volumes/names.ts'
import { checkPattern } from '../node/volumes/patterns.ts'
import { checkZone } from '../node/volumes/zones.ts'
import { segment } from './client.ts'
import type { Io } from './io.ts'
import { badOption, commonOptions } from './options.ts'
import { plural, report, size, table } from './output.ts'
import { amountsOf, type PatternAmounts, patternText } from './pattern-text.ts'
import { examples, volumePath } from './shared.ts'

export function addPatternCommands(program: Command, io: Io): void {
  const pattern = program
    .command('pattern')
    .summary('declare load that is known in advance')
    .description(
      'Patterns are load that applications are known to bring: a backup at night, a report on ' +
        "Mondays. They are kept with the volume, and its forecasts count on them. Times are the volume's " +
        'local times, through daylight saving.'
    )
    .addHelpText('after', examples('shoal pattern add web "mon-fri 02:00" --for 40m --iops +3000'))
  addAdd(pattern, io)
  addList(pattern, io)
  addRemove(pattern, io)
  addZone(pattern, io)
}

function addAdd(pattern: Command, io: Io): void {
  pattern
    .command('add')
    .summary('declare a pattern of a volume')
    .description(
      'Declares that a volume has more load than usual from a time on. Patterns that overlap add up.'
    )
    .argument('<volume>', 'name or id')
    .argument('<when>', 'days and time, for example "mon-fri 02:00", "sat,sun 23:30", "daily 4:00"')
    .requiredOption('--for <duration>', 'how long it lasts, for example 40m, at most 24h')
    .option('--iops <n>', 'requests per second on top of the usual, for example +3000')
    .option('--throughput <rate>', 'bytes per second on top of the usual, for example +100M')
    .addHelpText(
      'after',
      examples(
        'shoal pattern add web "mon-fri 02:00" --for 40m --iops +3000',
        'shoal pattern add db "daily 23:30" --for 2h --throughput +100M'
      )
    )
    .action(async (volume: string, when: string, options: PatternAmounts, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = `${volumePath(volume)}/patterns`
      const { id: _id, ...wish } = checkPattern({ when, ...amountsOf(options) })
      const added = await client.post<PatternDocument>(path, wish)
      report(io, json, added, () => `declared ${added.id}: ${patternText(added)} (${added.zone})`)
    })
}

function addList(pattern: Command, io: Io): void {
  pattern
    .command('list')
    .summary('list the patterns of a volume')
    .argument('<volume>', 'name or id')
    .addHelpText('after', examples('shoal pattern list web', 'shoal pattern list web --json'))
    .action(async (volume: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const list = await client.get<PatternsDocument>(`${volumePath(volume)}/patterns`)
      report(io, json, list, () => {
        if (list.patterns.length === 0) return `no patterns (times would be those of ${list.zone})`
        return [patternTable(list.patterns), '', `times are those of ${list.zone}`].join('\n')
      })
    })
}

function addRemove(pattern: Command, io: Io): void {
  pattern
    .command('remove')
    .summary('remove a pattern of a volume, or all')
    .argument('<volume>', 'name or id')
    .argument('<id>', 'as in `shoal pattern list`, or the beginning of it; or all')
    .addHelpText('after', examples('shoal pattern remove web 3fa9', 'shoal pattern remove web all'))
    .action(async (volume: string, id: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = `${volumePath(volume)}/patterns`
      if (!/^([0-9a-f]{4,16}|all)$/i.test(id)) {
        const words = `${printable(id)} is no id of a pattern: give its first 4 digits or more, or all`
        throw badOption('id', words)
      }
      const removed = await client.delete<PatternsDocument>(`${path}/${segment(id.toLowerCase())}`)
      report(io, json, removed, () => {
        const { patterns } = removed
        const [only] = patterns
        if (only === undefined) return 'there were no patterns'
        return patterns.length === 1
          ? `removed ${only.id}: ${patternText(only)}`
          : `removed ${plural(patterns.length, 'pattern')}`
      })
    })
}

function addZone(pattern: Command, io: Io): void {
  pattern
    .command('zone')
    .summary('show or set the time zone of a volume')
    .description(
      'The zone in which the times of patterns are read, and by whose days and weeks the load of the ' +
        'volume is forecast. A new volume has that of the host on which it was created.'
    )
    .argument('<volume>', 'name or id')
    .argument('[zone]', 'the new one, by its IANA name, for example Europe/Berlin')
    .addHelpText(
      'after',
      examples('shoal pattern zone web', 'shoal pattern zone web America/New_York')
    )
    .action(
      async (volume: string, zone: string | undefined, _options: object, command: Command) => {
        const { json, client } = commonOptions(command, io)
        const path = `${volumePath(volume)}/zone`
        if (zone !== undefined) checkZone(zone)
        const is =
          zone === undefined
            ? await client.get<ZoneDocument>(path)
            : await client.put<ZoneDocument>(path, { zone })
        report(io, json, is, () => is.zone)
      }
    )
}

function patternTable(patterns: readonly PatternDocument[]): string {
  const rows = patterns.map(({ id, when, minutes, iops, bytesPerSecond }) => [
    id,
    when,
    `${minutes} min`,
    iops === 0 ? '-' : `+${iops}/s`,
    bytesPerSecond === 0 ? '-' : `+${size(bytesPerSecond)}/s`
  ])
  return table(['ID', 'WHEN', 'FOR', 'IOPS', 'THROUGHPUT'], rows)
}
