// English. Functions get the Words (for numbers and money) and then their values.

export default {
  title: "booking",
  skip: "Skip to the content",
  language: "한국어",
  languageLabel: "한국어로 보기",
  languageTag: "ko",
  myTickets: (w, count) => (count ? `My tickets (${w.number(count)})` : "My tickets"),
  turnEnds: (w, seconds) => `Your turn ends in ${w.clock(seconds)}`,
  turnEndsSoon: (w, minutes) =>
    `Your turn ends in ${minutes === 1 ? "one minute" : `${w.number(minutes)} minutes`}.`,
  reconnecting: "No answer from the service. Trying again. Nothing you did is lost.",
  steps: "Where you are",
  step1: "Queue",
  step2: "Seat",
  step3: "Pay",
  step4: "Ticket",
  dismiss: "Dismiss",
  back: "Back",
  footer: "The queue is first come, first served. Every seat is sold once.",
  apiPages: "API pages",

  welcomeTitle: "Good seats, without the scramble",
  welcomeLead: "Line up once, watch your place move, and choose your seat in peace when it is your turn.",
  welcome1: "Take a place in the line. A reload keeps it.",
  welcome2: "When it is your turn, choose a date and a seat. It is held for you for a few minutes.",
  welcome3: "Pay from your balance. The ticket is yours at once.",
  join: "Join the queue",
  newPerson: "Start as a new person",
  alreadyQueued: "You are in the queue already, from a page that this browser has forgotten. Wait until that place has ended, or start as a new person.",

  waitingTitle: "You are in the queue",
  place: "your place",
  placeSaid: (w, place) => `Your place in the queue: ${w.number(place)}.`,
  ahead: (w, count) => {
    if (count === 0) return "You are next";
    return count === 1 ? "One person is ahead of you" : `${w.number(count)} people are ahead of you`;
  },
  etaUnknown: "No estimate at the moment.",
  eta: (w, seconds) => {
    if (seconds < 10) return "A few seconds to go";
    if (seconds < 60) return `About ${w.number(Math.ceil(seconds / 10) * 10)} seconds to go`;
    const minutes = Math.ceil(seconds / 60);
    return minutes === 1 ? "About a minute to go" : `About ${w.number(minutes)} minutes to go`;
  },
  opensIn: "opens in",
  opens: (w, moment) => `Opens on ${moment}. Places are drawn then: coming early or late makes no difference.`,
  gathered: (w, count) => {
    if (count === 0) return "Nobody else is here yet";
    return count === 1 ? "One other person waits with you" : `${w.number(count)} others wait with you`;
  },
  stock: (w, free, held) => {
    if (free === 0) return `No seat is free at the moment. ${w.number(held)} are held by others, and come back if they are not paid for.`;
    return free === 1 ? "1 seat is free" : `${w.number(free)} seats are free`;
  },
  stockNone: "Everything is sold out.",
  waitingHint: "Keep this page open; it tells you when it is your turn. A reload keeps your place.",
  live: "Live",
  polled: "Checked every few seconds",
  leave: "Leave the queue",
  leaveSure: "Really leave? Your place is gone then.",
  stay: "Stay",
  left: "You have left the queue.",
  waitingTab: (w, place) => `${w.number(place)} in the queue`,
  yourTurn: "It is your turn!",
  turnOver: "Your turn has ended. Seats that you still hold become free when their time is over.",
  tokenGone: "Your place in the queue has ended.",
  leaveTurn: "Give up my turn",
  leaveTurnSure: "Really give it up? Seats that you hold are free for others then.",

  datesTitle: "Choose a date",
  datesLead: "Seats left are counted live.",
  noDates: "No date can be booked at the moment.",
  seatsLeft: (w, free) => {
    if (free === 0) return "sold out";
    return free === 1 ? "1 seat left" : `${w.number(free)} seats left`;
  },
  dateSaid: (w, date, free) => `${date}, ${w.t("seatsLeft", free)}`,
  search: "Find a concert",

  seatsTitle: "Choose a seat",
  allDates: "All dates",
  allSections: "All sections",
  stage: "Stage",
  loadingSeats: "Loading the seats",
  sectionsHint: "Choose a section to see its seats.",
  section: (w, name) => `Section ${name}`,
  sectionSeats: (w, first, last) => `${w.number(first)} to ${w.number(last)}`,
  sectionSaid: (w, { title, first, last }, free, price) =>
    [title, first && `seats ${first} to ${last}`, w.t("seatsLeft", free), price].filter(Boolean).join(", "),
  gridLabel: "Seats. Arrow keys move, Enter chooses.",
  gridHint: "Arrow keys move between seats, Enter chooses one, Enter again holds it.",
  seat: (w, { section, row, label, seatNumber }) => {
    if (!label) return `Seat ${seatNumber}`;
    return row ? `${section}, row ${row}, seat ${label}` : `${section}, place ${label}`;
  },
  flag_accessible: "Place for a wheelchair",
  flag_companion: "Beside a place for a wheelchair, for who comes along",
  flag_restricted: "The view is restricted",
  state_available: "free",
  state_held: "held by someone",
  state_sold: "sold",
  state_mine: "held for you",
  state_chosen: "chosen",
  seatSaid: (w, seat, state) =>
    [w.t("seat", seat), w.money(seat.price), ...(seat.flags ?? []).map((flag) => w.t(`flag_${flag}`)), w.t(`state_${state}`)].join(", "),
  free: (w, free, total) => `${w.number(free)} of ${w.number(total)} seats are free`,
  findSeat: "Find me a free seat",
  findTwo: "Hold 2 together",
  heldTwo: (w, one, other) => `Seats ${one} and ${other} are held for you.`,
  soldOut: "Every seat of this date is taken at the moment. Seats that are held can come back.",
  nothingChosen: "Choose a seat to see its price.",
  hold: "Hold this seat",
  justTaken: (w, seat) => `${w.t("seat", seat)} has just been taken by somebody else. Choose another one.`,
  held: (w, seat) => `${w.t("seat", seat)} is held for you.`,

  toPay: (w, count) => (count === 1 ? "1 seat held" : `${w.number(count)} seats held`),
  goPay: "Go to payment",

  basketTitle: "Held for you",
  basketEmpty: "Nothing yet.",
  holdLeft: (w, seconds) => `${w.clock(seconds)} left`,
  holdEnding: (w, seat) => `One minute left to pay for ${w.t("seat", seat)}.`,
  holdOver: (w, seat) => `The hold on ${w.t("seat", seat)} has ended; others may take it now.`,
  giveBack: "Give back",
  giveBackSaid: (w, seat) => `Give ${w.t("seat", seat)} back`,
  givenBack: (w, seat) => `${w.t("seat", seat)} is free again.`,
  balance: "Balance",
  total: "Total",
  pay: (w, amount) => `Pay ${w.money(amount)}`,
  paid: (w, count) => (count === 1 ? "Paid. Here is your ticket." : "Paid. Here are your tickets."),
  chargeTitle: "Put money on your balance",
  chargeShort: (w, amount) => `${w.money(amount)} are missing.`,
  amount: "Amount in won",
  charge: "Charge",
  charged: (w, balance) => `Your balance is ${w.money(balance)} now.`,
  amountWrong: "A whole number from 1 to 10,000,000, please.",

  ticketsTitle: "Your tickets",
  noTickets: "No tickets yet.",
  ticketLabel: (w, concert, seat) => `Ticket: ${concert}, ${w.t("seat", seat)}`,
  qrLabel: (w, id) => `QR code of ticket ${id}`,
  doors: "Begins",
  ticketVenue: "Venue",
  ticketSeat: "Seat",
  ticketPrice: "Paid",
  ticketId: "Ticket",
  print: "Print",
  again: "Book another seat",

  queueFull: (w, seconds) =>
    `The queue is full at the moment. ${seconds > 0 ? `You can try again in ${w.number(seconds)} s.` : "You can try again now."}`,
  problem_queue_full: "The queue is full at the moment.",
  problem_unreachable: "The service does not answer. Nothing is lost: try again, and what was done already is not done twice.",
  problem_insufficient_balance: "The balance is too low.",
  problem_balance_limit: "The balance would be too high.",
  problem_seat_unavailable: "The seat is taken.",
  problem_hold_expired: "The hold has ended; others may take the seat now.",
  problem_reservation_ended: "The hold has ended; others may take the seat now.",
  problem_reservation_not_found: "The hold has ended; others may take the seat now.",
  problem_hold_limit_reached: "You hold as many seats of this date as one person may.",
  problem_purchase_limit_reached: "You have as many seats of this date as one person may.",
  problem_no_match: "There are no such seats left.",
  problem_hold_cooling_down: (w, error) =>
    `You had this seat a moment ago, so others come first: you can take it again in ${w.number(error.retryAfterMs / 1000)} s. Any other free seat is yours at once.`,
  problem_booking_closed: "This date cannot be booked any more.",
  problem_already_paid: "This seat is paid already.",
  problem_payment_in_progress: "The payment is under way. Look again in a moment.",
  problem_outcome_unknown: "It is not known yet whether that was done. Try again: it is not done twice.",
  problem_deadline_exceeded: "That took too long. Try again: nothing is done twice.",
  problem_overloaded: "Too many people at once. Try again in a moment.",
  problem_unavailable: "Not available for the moment. Try again: nothing is done twice.",
  problem_stopping: "The service is restarting. Try again in a moment.",
  problem_moved: "The service is rearranging itself. Try again in a moment.",
  problem_past_lost: "Some data was lost. The organisers have to decide how to go on; try again later.",
  problem_journal_unavailable: "The service cannot write at the moment. Try again in a moment.",
  problem_other: (w, message) => `That did not work: ${message}`,
};
