/** `shoal move` and `shoal moves`: asking for moves, looking at them, and how fast they may be. */
import type { Command } from 'commander'
import type { MoveDetailDocument } from '../node/control/balance-documents.ts'
import type { MoveDocument, MovesDocument } from '../node/control/documents.ts'
import { segment } from './client.ts'
import { follow } from './follow.ts'
import type { Io } from './io.ts'
import { detailText } from './move-receipt-view.ts'
import { doneText, movesText, notDone, startedText } from './moves-view.ts'
import { badOption, commonOptions, parseCount, parseRate } from './options.ts'
import { plural, report, size } from './output.ts'
import { checkNode, checkVolume, examples } from './shared.ts'

interface MoveOptions {
  readonly from: string
  readonly to: string
  readonly extents?: string
  readonly columns?: string
  readonly hottest?: string
  readonly wait?: boolean
}

export function addMoveCommands(program: Command, io: Io): void {
  addMove(program, io)
  const moves = program
    .command('moves')
    .summary('show moves: running, queued, done')
    .description(
      'Lists the moves of every storage node that is connected: bytes, rate, time left and why; of ' +
        'moves that nodes decided by themselves what was foretold, the bids, what they were worth and ' +
        'cost, and from an hour after their end what became of them. Says which nodes did not answer.'
    )
    .option('--ended <n>', 'how many that have ended to show (default: 20, 0 for none)')
    .addHelpText(
      'after',
      examples(
        'shoal moves',
        'shoal moves show 3fa9c2d01b7e',
        'shoal moves cancel 3fa9c2d01b7e',
        'shoal moves rate 50M',
        'shoal moves --json'
      )
    )
    .action(async (options: { ended?: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const { ended } = options
      const count = ended === undefined || ended === '0' ? ended : parseCount(ended, 'ended', 50)
      const query = count === undefined ? '' : `?ended=${count}`
      const list = await client.get<MovesDocument>(`/v1/moves${query}`)
      report(io, json, list, () => movesText(list))
    })
  addShow(moves, io)
  addCancel(moves, io)
  addRate(moves, io)
}

function addMove(program: Command, io: Io): void {
  program
    .command('move')
    .summary('move chunks of a volume to another node')
    .description(
      'Moves chunks of a volume from one node to another while the volume stays in use. All that ' +
        'the source holds of it, unless told otherwise. The move goes on in the daemon, also ' +
        'after a restart; `shoal moves` shows it.'
    )
    .argument('<volume>', 'name or id')
    .requiredOption('--from <node>', 'the node that holds the chunks')
    .requiredOption('--to <node>', 'the node that will hold them')
    .option('--extents <a-b>', 'only these extents, the last one included, for example 0-15')
    .option('--columns <list>', 'only these columns, for example 0,2')
    .option('--hottest <n>', 'only the n chunks with the most requests')
    .option('--wait', 'show the progress until it has ended')
    .addHelpText(
      'after',
      examples(
        'shoal move web --from eu-1 --to eu-3',
        'shoal move web --from eu-1 --to eu-3 --extents 0-15 --wait',
        'shoal move db --from eu-1 --to us-1 --hottest 8'
      )
    )
    .action(async (volume: string, options: MoveOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const move = await client.post<MoveDocument>('/v1/moves', wishOf(volume, options))
      if (options.wait !== true) {
        report(io, json, move, () => startedText(move))
        return
      }
      const look = async (): Promise<MoveDocument> => {
        const { moves } = await client.get<MovesDocument>('/v1/moves?ended=200')
        return moves.find(one => one.id === move.id) ?? move
      }
      const last = await follow(io, {
        title: `move ${move.volumeName}`,
        look,
        isOver: seen => seen.endedAt !== undefined,
        describe: ({ bytes, leftMs, trouble }) => ({
          doneBytes: bytes.done,
          totalBytes: bytes.total,
          leftMs,
          trouble
        }),
        whenInterrupted:
          'nobody waits any more, and the move goes on: `shoal moves` shows it, ' +
          `\`shoal moves cancel ${move.id}\` calls it off`
      })
      if (last.state !== 'done') throw notDone(last)
      report(io, json, last, () => doneText(last))
    })
}

function wishOf(volume: string, options: MoveOptions): object {
  const { from, to, extents, columns, hottest } = options
  return {
    volume: checkVolume(volume),
    from: checkNode(from, 'from'),
    to: checkNode(to, 'to'),
    ...(extents === undefined ? {} : { extents: parseExtents(extents) }),
    ...(columns === undefined ? {} : { columns: parseColumns(columns) }),
    ...(hottest === undefined ? {} : { hottest: parseCount(hottest, 'hottest', 8) })
  }
}

/** `A-B` or `A`, the last one included, as [from, to). */
export function parseExtents(text: string): { from: number; to: number } {
  const match = /^([0-9]{1,9})(?:-([0-9]{1,9}))?$/.exec(text)
  const from = Number(match?.[1])
  const last = Number(match?.[2] ?? match?.[1])
  if (match !== null && from <= last) return { from, to: last + 1 }
  throw badOption('extents', '--extents must be one extent or a range of them, for example 0-15')
}

function parseColumns(text: string): number[] {
  if (/^[0-9]{1,3}(,[0-9]{1,3})*$/.test(text)) return text.split(',').map(Number)
  throw badOption('columns', '--columns must be numbers with commas between, for example 0,2')
}

function addShow(moves: Command, io: Io): void {
  moves
    .command('show')
    .summary('all that is known of one move')
    .description(
      'Shows what a move was decided on, who was asked and bid, what it was worth and cost, how it went ' +
        'and what became of it, as its source and its target keep it for 90 days. `shoal explain` ' +
        'tells the same in sentences.'
    )
    .argument('<id>', 'as in `shoal moves`, or the beginning of it')
    .addHelpText('after', examples('shoal moves show 3fa9c2d01b7e', 'shoal moves show 3fa9 --json'))
    .action(async (id: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const detail = await client.get<MoveDetailDocument>(`/v1/moves/${segment(id)}`)
      report(io, json, detail, () => detailText(detail))
    })
}

function addCancel(moves: Command, io: Io): void {
  moves
    .command('cancel')
    .summary('call a move off')
    .description('Calls a move off. Chunks that have gone stay where they are.')
    .argument('<id>', 'as in `shoal moves`, or the beginning of it')
    .addHelpText('after', examples('shoal moves cancel 3fa9c2d01b7e'))
    .action(async (id: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const move = await client.delete<MoveDocument>(`/v1/moves/${segment(id)}`)
      report(io, json, move, () => {
        const { done, total } = move.chunks
        const rest = move.endedAt === undefined ? '; the chunk in hand is given up' : ''
        return `move ${move.id} is called off: ${done} of ${plural(total, 'chunk')} moved${rest}`
      })
    })
}

function addRate(moves: Command, io: Io): void {
  moves
    .command('rate')
    .summary('bound what copying for moves may use')
    .description(
      'Sets the most that copying from and to a node may use, per second; it is kept. Copying yields to ' +
        'clients in any case: the bound is for links and disks that others use too.'
    )
    .argument('<rate>', 'bytes per second, for example 50M, or unlimited')
    .option('--node <node>', 'of another node (default: this one)')
    .addHelpText(
      'after',
      examples(
        'shoal moves rate 50M',
        'shoal moves rate unlimited',
        'shoal moves rate 1G --node eu-3'
      )
    )
    .action(async (text: string, options: { node?: string }, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const bytesPerSecond = parseRate(text, 'rate')
      const { node } = options
      const where = node === undefined ? {} : { node: checkNode(node, 'node') }
      const set = await client.post<{ name: string }>('/v1/moves/rate', {
        bytesPerSecond,
        ...where
      })
      const rate = bytesPerSecond === null ? 'as much as there is' : `${size(bytesPerSecond)}/s`
      report(io, json, set, () => `copying from and to ${set.name} may use ${rate}`)
    })
}
