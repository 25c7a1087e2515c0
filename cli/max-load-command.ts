/** `shoal node max-load`: what the node serves at most, for hosts that do other work. */
import type { Command } from 'commander'
import type { NodeLimitDocument } from '../node/control/documents.ts'
import type { Io } from './io.ts'
import { commonOptions, parseMaxLoad } from './options.ts'
import { report } from './output.ts'
import { examples } from './shared.ts'

export function addMaxLoad(node: Command, io: Io): void {
  node
    .command('max-load')
    .summary('show or set what this node serves at most')
    .description(
      'Bounds what this node serves to clients, in units per second: 1 for a request and 1 for ' +
        'every 32 KiB that it moves. It holds at once and after restarts; `shoal up --max-load` ' +
        'holds for one start. Copying for moves is bounded by `shoal moves rate`. The mesh ' +
        'takes it for what the node can do.'
    )
    .argument('[units]', 'the new one, 50 or more, or none')
    .addHelpText(
      'after',
      examples('shoal node max-load', 'shoal node max-load 2000', 'shoal node max-load none')
    )
    .action(async (text: string | undefined, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const path = '/v1/node/limits'
      const limits =
        text === undefined
          ? await client.get<NodeLimitDocument>(path)
          : await client.put<NodeLimitDocument>(path, { maxLoad: parseMaxLoad(text) })
      report(io, json, limits, () => limitsText(limits))
    })
}

function limitsText({ maxLoad, kept }: NodeLimitDocument): string {
  const words = (limit: number | null) => (limit === null ? 'none' : `${limit} units/s`)
  return maxLoad === kept
    ? words(maxLoad)
    : `${words(maxLoad)}, until the next start; then ${words(kept)}`
}
