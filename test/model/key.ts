import { textOfBlock } from './etcd.ts';
import type { Check, Etcd, Listed, MachineRecord, State, Transaction, Work } from './state.ts';

/**
 * Returns a text that is equal for states that behave alike. The marks of machine records count
 * only by which are equal, so they are numbered in the order in which they stand in the text.
 */
export function keyOf(state: State): string {
  const marks = new Map<number, number>();
  const machine = (record: MachineRecord | undefined): string => {
    if (!record) return '-';
    const number = marks.get(record.mark) ?? marks.size;
    marks.set(record.mark, number);
    return `${record.generation}m${number}`;
  };
  const etcd = ({ blocks, counts, machines, told }: Etcd): string =>
    `${blocks.map(textOfBlock).join(' ')} ${counts.join()} ${machines.map(machine).join()} ${flag(told)}`;
  const transaction = (each: Transaction): string =>
    [
      each.node,
      machine(each.machine),
      machine(each.next),
      each.told === undefined ? '' : flag(each.told),
      flag(each.tells),
      ...each.blocks.map(({ at, was, is }) => `${at}${textOfBlock(was)}>${textOfBlock(is)}`),
    ].join(';');
  const work = (each: Work | undefined): string => {
    if (!each) return '-';
    const { does, container, step } = each;
    const begin = `${does}${container}${step.at}`;
    switch (step.at) {
      case 'start':
        return begin;
      case 'listed':
        return `${begin}${step.inUse.join()}`;
      case 'read':
        return `${begin}${etcd(step.etcd)}`;
      case 'send':
        return `${begin}${transaction(step.transaction)}${flag(step.writesBack)}${step.fence}${flag(step.probes)}${placeText(step.place)}`;
      case 'given':
        return `${begin}${placeText(step.place)}${flag(step.probes)}`;
    }
  };
  return [
    etcd(state.etcd),
    state.snapshot ? etcd(state.snapshot) : '',
    state.setBacks,
    ...state.nodes.map(
      ({ fence, looked, deferred, work: all }) =>
        `${fence}${flag(looked)}d${deferred.join()} ${all.map(work).join(' ')}`,
    ),
    state.containers
      .map(({ node, life, listed, place }) => `${node}${life}${flag(listed)}${placeText(place)}`)
      .join(),
    state.late.map(transaction).join(' '),
    // The checks are alike: which is which makes no difference.
    state.checks.map(checkText).sort().join(' '),
    state.crashes,
    state.lateOnes,
  ].join('|');
}

const flag = (value: boolean): string => (value ? '!' : '.');
const placeText = (place: { readonly block: number; readonly slot: number } | undefined): string =>
  place ? `${place.block}.${place.slot}` : '-';

function checkText(check: Check): string {
  switch (check.at) {
    case 'idle':
    case 'done':
      return check.at;
    case 'allocations':
      return `a${check.allocations.map(listedText).join()}`;
    case 'pods':
      return `p${check.pods.join()}`;
    case 'leaks':
      return `l${check.leaks.map(listedText).join()}`;
  }
}

const listedText = ({ place, container, sequence }: Listed): string =>
  `${placeText(place)}:${container}@${sequence}`;
