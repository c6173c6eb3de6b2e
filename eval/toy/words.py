"""The vocabulary of the toy world: about 1,700 English words, sorted by the slot they fill.

Each plain domain brings seven typed word lists. `act` holds past forms that are also participles ("the cook peeled
it", "it was peeled by the cook"), so one list serves active and passive frames. A few words belong to several
domains on purpose ("court", "pitch", "star", "scale"): as in real text, one word alone does not always name a topic.
"""

# Slots that every domain may use.
COMMON: dict[str, str] = {
    "name": """anna ben carla david ella frank grace henry irene jack kate liam maria noah olga peter rosa sam
        tina victor wendy adam bella carl diana erik fiona george helen ivan julia karl laura martin nina oscar
        paula ralph sofia tom ursula walter yvonne zoe arthur clara edgar greta hugo ingrid""",
    "day": "monday tuesday wednesday thursday friday saturday sunday",
    "month": "january february march april may june july august september october november december",
    "number": "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty",
    "town": """london paris rome vienna lisbon dublin oslo prague madrid athens berlin warsaw geneva naples
        hamburg bergen seville krakow porto antwerp""",
    "size": "small large old new heavy little broad narrow long short plain spare simple huge thin",
    "colour": "red blue green white black grey yellow brown silver golden purple orange",
    "manner": """slowly quickly quietly carefully suddenly calmly firmly gently often rarely together alone again
        eagerly patiently proudly neatly twice""",
    "lead": "note report today question reminder headline answer update notice summary diary",
}

# person act thing many place quality event: the seven slots of a plain domain.
DOMAINS: dict[str, dict[str, str]] = {
    "kitchen": {
        "person": "cook baker aunt grandmother apprentice butcher dishwasher confectioner",
        "act": """peeled boiled chopped stirred grated roasted kneaded sliced whisked seasoned simmered marinated
            drained fried""",
        "thing": """saucepan spoon oven kettle bowl knife ladle dough onion cabbage recipe whisk apron stove lid
            jar toaster grater cutting-board omelette cupboard fridge teapot casserole""",
        "many": "carrots potatoes eggs lemons herbs mushrooms noodles almonds raisins beans leeks spices",
        "place": "pantry larder scullery cellar sink cookhouse counter breakfast-room",
        "quality": "peppery buttery ripe floury sticky steaming raw chilled sugary smoked crumbly diced",
        "event": "baking lunch picnic supper breakfast tasting",
    },
    "sport": {
        "person": "striker goalkeeper coach referee runner swimmer captain boxer",
        "act": "kicked passed tackled blocked defended trained scored outpaced dribbled pitched bowled volleyed",
        "thing": """ball goal racket medal trophy helmet whistle jersey net bat javelin hurdle scoreboard league
            penalty dumbbell puck relay podium treadmill stopwatch paddle skateboard bicycle""",
        "many": "fans boots sprints laps rivals athletes defenders gloves wickets champions rounds cyclists",
        "place": "stadium pitch gym track court arena locker-room grandstand",
        "quality": """athletic unbeaten sweaty offside muscular rival agile amateur sprinting winning injured
            competitive""",
        "event": "match final tournament race training marathon",
    },
    "music": {
        "person": "violinist drummer singer composer pianist conductor cellist guitarist",
        "act": """tuned strummed rehearsed recorded hummed performed composed arranged plucked harmonised
            practised conducted""",
        "thing": """violin guitar drum flute melody chord album piano trumpet choir ballad microphone sonata
            rhythm cello tambourine accordion symphony metronome harp saxophone lyric clarinet turntable""",
        "many": "songs notes strings tunes records verses keys amplifiers duets cymbals scales anthems",
        "place": "studio stage concert-hall bandstand opera conservatory chapel music-room",
        "quality": """acoustic melodic off-key rhythmic choral electric symphonic baroque jazzy muted tuneful
            orchestral""",
        "event": "concert rehearsal encore festival overture recital",
    },
    "law": {
        "person": "judge lawyer witness juror prosecutor attorney clerk defendant",
        "act": """accused acquitted sentenced appealed questioned convicted drafted overruled sued pardoned
            testified prosecuted""",
        "thing": """verdict contract statute motion warrant clause lawsuit affidavit testimony indictment alibi
            injunction subpoena gavel petition settlement decree treaty docket bail deed patent fine brief""",
        "many": "charges laws rights crimes plaintiffs damages fees precedents suspects felonies statutes objections",
        "place": "court tribunal prison jury-room courthouse chambers ministry registry",
        "quality": "guilty legal criminal liable unlawful civil judicial binding innocent disputed federal void",
        "event": "trial hearing appeal arrest inquest arbitration",
    },
    "farming": {
        "person": "farmer shepherd milkmaid ploughman beekeeper gardener vet harvester",
        "act": "ploughed planted harvested watered milked fenced weeded sheared fertilised threshed grazed herded",
        "thing": """tractor barn fence plough orchard cow sheep crop harrow scythe hayloft rooster silo pitchfork
            wheelbarrow beehive pasture calf goat wool sickle trough haystack seedling""",
        "many": "pigs hens turnips acres seeds fields oats goats lambs ducks furrows beets",
        "place": "farmyard meadow stable paddock henhouse greenhouse hillside vineyard",
        "quality": "fertile muddy woolly barren weedy rural grassy organic sown fallow leafy thorny",
        "event": "harvest sowing lambing haymaking drought cattle-fair",
    },
    "space": {
        "person": "astronaut astronomer cosmonaut physicist stargazer commander engineer rocketeer",
        "act": """orbited launched observed docked detected measured landed explored mapped transmitted tracked
            photographed""",
        "thing": """rocket telescope planet comet satellite probe asteroid capsule moon star galaxy nebula
            spacesuit thruster module antenna crater rover meteor payload shuttle eclipse airlock supernova""",
        "many": "orbits craters signals meteorites moons panels particles photons astronauts planets boosters quasars",
        "place": "observatory launchpad orbit cosmos hangar space-station horizon control-centre",
        "quality": """lunar solar weightless distant interstellar cosmic orbital icy radioactive dwarf galactic
            negative""",
        "event": "launch landing countdown spacewalk re-entry transit",
    },
    "medicine": {
        "person": "doctor nurse surgeon patient dentist midwife pharmacist paramedic",
        "act": """treated examined bandaged vaccinated diagnosed healed injected prescribed monitored stitched
            operated x-rayed""",
        "thing": """fever bandage syringe tablet wound vaccine stethoscope scalpel thermometer infection fracture
            dose symptom ointment stretcher virus kidney lung heartbeat wheelchair biopsy allergy plaster artery""",
        "many": "pills bones bruises symptoms antibiotics muscles nerves bacteria crutches sutures patients germs",
        "place": "hospital ward clinic ambulance surgery pharmacy waiting-room laboratory",
        "quality": """feverish sterile contagious painful chronic swollen surgical dizzy healthy bruised clinical
            positive""",
        "event": "operation check-up diagnosis recovery consultation epidemic",
    },
    "travel": {
        "person": "tourist guide porter pilot backpacker conductor hitchhiker stewardess",
        "act": "visited booked packed crossed toured boarded photographed missed hired reached explored carried",
        "thing": """suitcase passport ticket train map hotel visa backpack timetable souvenir compass bus
            itinerary caravan postcard tunnel rucksack taxi guidebook locker currency tram aeroplane hostel""",
        "many": "passengers trips borders coaches flights travellers brochures bridges museums ruins miles landmarks",
        "place": "airport platform customs-hall terminal old-town ferry-port campsite embassy",
        "quality": """foreign crowded scenic delayed remote coastal jet-lagged historic tropical cheap overnight
            mountainous""",
        "event": "journey departure holiday flight stopover excursion",
    },
    "weather": {
        "person": "forecaster meteorologist postman rambler skier watchman pensioner commuter",
        "act": "soaked flooded froze cleared covered forecast drenched uprooted thawed battered darkened warmed",
        "thing": """storm cloud breeze umbrella snowfall thunder barometer raincoat gale puddle frost drizzle
            rainbow thermostat hailstone blizzard heatwave icicle sunrise mist downpour tornado lightning fog""",
        "many": """clouds showers gusts winds temperatures snowflakes raindrops floods degrees forecasts storms
            sunbeams""",
        "place": "valley roof north hilltop riverbank moor lowlands coast",
        "quality": "windy rainy foggy sunny cloudy stormy snowy humid freezing misty damp frosty",
        "event": "rain thunderstorm winter cold-spell sunset monsoon",
    },
    "building": {
        "person": "carpenter mason plumber architect electrician bricklayer roofer foreman",
        "act": "hammered drilled plastered painted welded sawed measured tiled nailed wired demolished repaired",
        "thing": """hammer ladder brick beam scaffold drill nail plank crane cement pipe wrench chimney girder
            screw toolbox bulldozer blueprint doorframe trowel spanner concrete chisel socket""",
        "many": "bricks tiles walls windows planks pipes bolts cables stairs rafters shingles hinges",
        "place": "site attic basement workshop scaffolding rooftop foundation garage",
        "quality": """wooden sturdy rusty concrete hollow unfinished upright crooked insulated load-bearing dusty
            levelled""",
        "event": "renovation inspection demolition extension excavation roofing",
    },
    "sea": {
        "person": "sailor captain fisherman diver lighthouse-keeper admiral pirate helmsman",
        "act": "anchored sailed rowed moored netted steered navigated hauled sighted salvaged towed hoisted",
        "thing": """anchor sail boat oar lighthouse tide harpoon mast rudder lifeboat whale wave reef trawler
            compass rope hull seagull lobster periscope dinghy wreck keel dolphin""",
        "many": "sails waves shells nets sharks currents crabs buoys islands oysters sailors masts",
        "place": "harbour deck bay beach lagoon quay cabin shipyard",
        "quality": "salted tidal deep seaworthy stranded windswept nautical sunken drifting barnacled choppy buoyant",
        "event": "voyage regatta shipwreck high-tide mutiny crossing",
    },
    "school": {
        "person": "teacher pupil professor librarian student headmaster tutor janitor",
        "act": "taught studied memorised corrected explained solved copied graded borrowed revised underlined recited",
        "thing": """blackboard pencil textbook desk essay notebook equation dictionary ruler exam satchel lesson
            timetable poem diploma calculator globe alphabet homework chapter eraser certificate fraction syllabus""",
        "many": "pupils marks sums classes essays grammar-rules exercises crayons holidays spellings diagrams quizzes",
        "place": "classroom library playground corridor canteen campus dormitory lecture-hall",
        "quality": """absent studious punctual written spoken arithmetic scholarly elementary unmarked curious
            diligent bookish""",
        "event": "lecture assembly graduation test lesson debate",
    },
    "business": {
        "person": "manager banker merchant accountant trader investor broker secretary",
        "act": "sold bought invested exported hired audited merged negotiated financed insured delivered advertised",
        "thing": """budget invoice share loan warehouse factory profit price receipt market merger bond dividend
            tariff mortgage cheque ledger brand franchise subsidy pension tax inventory salary""",
        "many": "customers shares debts profits exports wages orders suppliers prices stocks goods contracts",
        "place": "bank office stock-exchange boardroom shop headquarters trade-fair showroom",
        "quality": """profitable bankrupt wholesale commercial costly quarterly corporate taxable retail annual
            unpaid thrifty""",
        "event": "auction meeting takeover sale bankruptcy strike",
    },
    "nature": {
        "person": "ranger botanist hunter biologist hiker woodcutter birdwatcher zoologist",
        "act": "spotted followed gathered tracked sheltered chased climbed hunted rescued fed startled burrowed",
        "thing": """fox oak owl river squirrel fern nest waterfall badger beetle pine deer mushroom spider otter
            hedgehog woodpecker acorn lynx bramble glacier birch toad butterfly""",
        "many": "wolves leaves ferns beavers berries roots birds antlers insects trees rabbits feathers",
        "place": "forest swamp clearing cave mountain lake wilderness canyon",
        "quality": "wild mossy furry nocturnal venomous feathered untamed shady ancient hibernating leafless timid",
        "event": "migration moulting mating-season wildfire hike spring",
    },
}

# Review domains: two kinds of aspect each, with the adjectives that fit it. `_p` is praise, `_n` is blame.
ANY_ADJECTIVE: dict[str, str] = {
    "adj_p": """great good lovely wonderful excellent superb brilliant delightful charming splendid perfect
        impressive marvellous fantastic amazing outstanding remarkable stunning terrific satisfying memorable
        enjoyable pleasing exquisite magnificent glorious admirable first-rate""",
    "adj_n": """bad awful terrible poor dreadful horrible dull boring disappointing mediocre weak lousy tedious
        unpleasant annoying dismal forgettable atrocious abysmal pathetic woeful shoddy second-rate unbearable
        ghastly appalling miserable depressing""",
}
REVIEWS: dict[str, dict[str, str]] = {
    "film": {
        "kind": """film movie drama comedy thriller western sequel remake documentary musical cartoon romance epic
            mystery biopic blockbuster""",
        "venue": "cinema multiplex premiere matinee film-club screening",
        "staff": "actor actress director cast star villain hero heroine screenwriter narrator stuntman producer",
        "item": """plot script ending dialogue soundtrack story opening editing twist finale pacing camerawork
            subplot premise cinematography screenplay scenery animation voice-over flashback""",
        "item_p": """gripping clever witty moving touching thrilling hilarious original inventive suspenseful
            captivating poignant riveting imaginative absorbing spellbinding""",
        "item_n": """predictable clumsy shallow silly contrived muddled pretentious corny sloppy lifeless
            incoherent cliched overlong laughable plodding far-fetched""",
        "staff_p": "convincing charismatic nuanced magnetic believable gifted expressive endearing",
        "staff_n": "wooden hammy miscast unconvincing stilted bored expressionless irritating",
        "like_p": "loved enjoyed adored admired applauded rewatched",
        "like_n": "hated disliked loathed regretted detested abandoned",
        "base_p": "love enjoy adore admire praise recommend",
        "base_n": "hate dislike loathe regret detest mock",
    },
    "restaurant": {
        "kind": """restaurant bistro cafe diner grill tavern pizzeria brasserie buffet steakhouse trattoria
            gastropub tearoom noodle-bar sushi-bar creperie""",
        "venue": "terrace dining-room corner-table rooftop-bar booth bar",
        "staff": "waiter waitress chef staff host barman manager sommelier hostess maitre service cashier",
        "item": """soup steak bread dessert sauce salad pasta curry pie lobster risotto starter burger pizza
            omelette pudding dumpling seafood dressing cheesecake""",
        "item_p": """delicious tasty fresh crisp tender juicy flavourful fragrant creamy succulent mouthwatering
            appetising crunchy zesty scrumptious velvety""",
        "item_n": """bland greasy stale soggy burnt overpriced undercooked tasteless rubbery watery lukewarm chewy
            inedible gristly overcooked mushy""",
        "staff_p": "friendly attentive courteous prompt welcoming polite cheerful helpful",
        "staff_n": "rude careless grumpy arrogant forgetful surly inattentive impatient",
        "like_p": "loved enjoyed savoured relished devoured praised",
        "like_n": "hated disliked regretted loathed refused left",
        "base_p": "love enjoy savour relish praise recommend",
        "base_n": "hate dislike regret loathe fault avoid",
    },
}
